CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL, seen_at timestamptz);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE, title text NOT NULL);
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    body text NOT NULL
);
CREATE TABLE attachments (id uuid PRIMARY KEY, message_id uuid NOT NULL REFERENCES messages ON DELETE CASCADE, name text NOT NULL);
