-- Every clinical row carries its owner beside its session, so that no statement can mix up two people's data:
-- migration 5 ties both columns to sessions (id, user_id).
CREATE TYPE session_status AS ENUM ('active', 'paused', 'completed', 'abandoned');
CREATE TYPE message_role AS ENUM ('client', 'assistant', 'therapist', 'system');
CREATE TYPE cbt_kind AS ENUM ('thought_record', 'behavioral_activation', 'exposure', 'worry_log');
CREATE TYPE report_kind AS ENUM ('summary', 'progress', 'risk', 'discharge');

CREATE TABLE sessions (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id     uuid NOT NULL,
    title       text NOT NULL,
    status      session_status NOT NULL DEFAULT 'active',
    pinned      boolean NOT NULL DEFAULT false,
    mood_before smallint CHECK (mood_before BETWEEN 0 AND 10),
    mood_after  smallint CHECK (mood_after BETWEEN 0 AND 10),
    summary     text,
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE messages (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id  uuid NOT NULL,
    user_id     uuid NOT NULL,
    role        message_role NOT NULL,
    content     text NOT NULL,
    token_count integer NOT NULL DEFAULT 0,
    sentiment   double precision,
    flagged     boolean NOT NULL DEFAULT false,
    metadata    jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),
    edited_at   timestamptz
);

CREATE TABLE cbt_entries (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL,
    user_id    uuid NOT NULL,
    kind       cbt_kind NOT NULL,
    data       jsonb NOT NULL,
    distress   double precision,
    completed  boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reports (
    session_id   uuid NOT NULL,
    user_id      uuid NOT NULL,
    kind         report_kind NOT NULL,
    title        text NOT NULL,
    body         jsonb NOT NULL,
    risk_score   double precision,
    token_total  bigint NOT NULL DEFAULT 0,
    revision     integer NOT NULL DEFAULT 1,
    generated_at timestamptz NOT NULL DEFAULT now(),
    signed_at    timestamptz,
    PRIMARY KEY (session_id, kind)
);
