CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, title text NOT NULL);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE, body text NOT NULL);
CREATE TABLE archived_messages (id uuid PRIMARY KEY, session_id uuid NOT NULL, body text NOT NULL);
