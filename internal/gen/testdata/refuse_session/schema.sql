CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    title text NOT NULL,
    seen timestamptz
);
CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL REFERENCES sessions (id),
    body text NOT NULL,
    likes int NOT NULL DEFAULT 0
);

CREATE TABLE secrets (id uuid PRIMARY KEY, owner text NOT NULL);
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets USING (owner = current_user);
CREATE TEMPORARY TABLE scratch (id uuid PRIMARY KEY);
CREATE SCHEMA one;
CREATE TABLE one.only_here (id uuid PRIMARY KEY);
CREATE TABLE one.twin (id uuid PRIMARY KEY);
CREATE TABLE twin (id uuid PRIMARY KEY);
CREATE MATERIALIZED VIEW summary AS SELECT id, title FROM sessions;
