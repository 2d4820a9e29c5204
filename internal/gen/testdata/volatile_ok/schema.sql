CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, title text NOT NULL, expires_at timestamptz NOT NULL);
