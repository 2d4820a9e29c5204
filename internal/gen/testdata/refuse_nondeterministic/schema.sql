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

CREATE SEQUENCE counter;
CREATE FUNCTION guess(x int) RETURNS int LANGUAGE sql AS 'SELECT x';
CREATE FUNCTION looked_up(x int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT count(*)::int + x FROM sessions); END $$;
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * x';
CREATE VIEW recent AS SELECT id FROM sessions WHERE seen > now() - interval '1 day';
