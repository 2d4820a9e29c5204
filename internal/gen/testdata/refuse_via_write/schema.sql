CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users, title text NOT NULL);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL REFERENCES sessions, body text NOT NULL);
