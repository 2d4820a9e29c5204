CREATE TYPE device_platform AS ENUM ('ios', 'android', 'web');
CREATE TYPE mfa_method AS ENUM ('totp', 'sms', 'passkey');

CREATE TABLE devices (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL,
    platform     device_platform NOT NULL,
    name         text NOT NULL,
    push_token   text UNIQUE,
    app_version  text,
    trusted      boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz
);

-- The state of a login. Only the hash of the bearer token is kept: hex of SHA-256.
CREATE TABLE user_sessions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid NOT NULL,
    device_id    uuid,
    token_hash   text NOT NULL UNIQUE CHECK (length(token_hash) = 64),
    ip_address   text,
    user_agent   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz
);

CREATE TABLE auth_configs (
    user_id             uuid PRIMARY KEY,
    mfa_enabled         boolean NOT NULL DEFAULT false,
    mfa_method          mfa_method,
    allowed_methods     text[] NOT NULL DEFAULT '{password}',
    session_minutes     integer NOT NULL DEFAULT 60 CHECK (session_minutes > 0),
    failed_attempts     integer NOT NULL DEFAULT 0,
    locked_until        timestamptz,
    password_changed_at timestamptz,
    updated_at          timestamptz NOT NULL DEFAULT now()
);
