CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL, deleted_at timestamptz);
CREATE VIEW live_users AS SELECT * FROM users WHERE deleted_at IS NULL;
CREATE VIEW names AS SELECT id, name FROM live_users;
