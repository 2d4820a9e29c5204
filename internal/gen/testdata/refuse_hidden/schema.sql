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

CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER note AFTER INSERT OR DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER retitled AFTER UPDATE OF title ON sessions FOR EACH ROW EXECUTE FUNCTION note();
CREATE TABLE logs (id uuid PRIMARY KEY, session_id uuid NOT NULL);
CREATE RULE copied AS ON INSERT TO logs DO ALSO DELETE FROM messages;
CREATE TABLE events (id uuid NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE animals (id uuid PRIMARY KEY);
CREATE TABLE cats (lives int NOT NULL) INHERITS (animals);
CREATE VIEW titles AS SELECT id, title FROM sessions;
CREATE FUNCTION cleanup() RETURNS int LANGUAGE sql AS 'DELETE FROM messages RETURNING 1';
