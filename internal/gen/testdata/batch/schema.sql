CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid, title text NOT NULL);
CREATE TABLE messages (id bigint PRIMARY KEY, session_id uuid NOT NULL, body text NOT NULL);
