CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    title text NOT NULL,
    seen timestamptz
);
CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    body text NOT NULL,
    likes int NOT NULL DEFAULT 0
);
CREATE TABLE tags (id bigint PRIMARY KEY, name text NOT NULL UNIQUE CHECK (length(name) <= 20));
