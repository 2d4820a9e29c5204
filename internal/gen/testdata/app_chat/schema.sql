-- A chat: workspaces, channels, messages with reactions and threads, unread
-- counters that triggers keep.

CREATE TYPE channel_kind AS ENUM ('public', 'private', 'direct');
CREATE TYPE member_role AS ENUM ('owner', 'admin', 'member', 'guest');

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    handle text NOT NULL UNIQUE,
    display_name text NOT NULL,
    avatar_url text,
    settings jsonb NOT NULL DEFAULT '{}',
    last_seen_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW IS DISTINCT FROM OLD THEN
        NEW.updated_at := clock_timestamp();
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER users_updated BEFORE UPDATE ON users
FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE workspaces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9-]+$'),
    name text NOT NULL,
    owner_id bigint NOT NULL REFERENCES users (id)
);

CREATE TABLE workspace_members (
    workspace_id bigint NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role member_role NOT NULL DEFAULT 'member',
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);

CREATE TABLE channels (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workspace_id bigint NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    kind channel_kind NOT NULL DEFAULT 'public',
    name text NOT NULL,
    topic text,
    message_count bigint NOT NULL DEFAULT 0,
    last_message_at timestamptz,
    archived_at timestamptz
);

CREATE UNIQUE INDEX channels_name_key ON channels (workspace_id, name) WHERE archived_at IS NULL;

CREATE TABLE channel_members (
    channel_id bigint NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    unread int NOT NULL DEFAULT 0,
    last_read_id bigint,
    muted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (channel_id, user_id)
);

CREATE INDEX channel_members_by_user ON channel_members (user_id);

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id bigint NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    author_id bigint REFERENCES users (id) ON DELETE SET NULL,
    parent_id bigint REFERENCES messages (id) ON DELETE CASCADE,
    body text NOT NULL,
    search tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED,
    edited_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX messages_by_channel ON messages (channel_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX messages_search ON messages USING gin (search);

CREATE FUNCTION bump_channel() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE channels SET message_count = message_count + 1, last_message_at = NEW.created_at WHERE id = NEW.channel_id;
    UPDATE channel_members SET unread = unread + 1 WHERE channel_id = NEW.channel_id AND user_id <> NEW.author_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER messages_bump AFTER INSERT ON messages
FOR EACH ROW EXECUTE FUNCTION bump_channel();

CREATE TABLE reactions (
    message_id bigint NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    user_id bigint NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    emoji text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (message_id, user_id, emoji)
);

CREATE TABLE attachments (
    id uuid PRIMARY KEY,
    message_id bigint NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    file_name text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    meta jsonb
);

CREATE TABLE pins (
    channel_id bigint NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    message_id bigint NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    pinned_by bigint NOT NULL REFERENCES users (id),
    PRIMARY KEY (channel_id, message_id)
);

CREATE TABLE delivery_log (
    message_id bigint NOT NULL,
    user_id bigint NOT NULL,
    delivered_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY HASH (message_id);

CREATE TABLE delivery_log_0 PARTITION OF delivery_log FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE delivery_log_1 PARTITION OF delivery_log FOR VALUES WITH (MODULUS 2, REMAINDER 1);

CREATE VIEW live_messages AS
SELECT id, channel_id, author_id, parent_id, body, edited_at, created_at FROM messages WHERE deleted_at IS NULL;
