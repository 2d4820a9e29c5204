CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, title text NOT NULL);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL, body text NOT NULL);

CREATE FUNCTION title_of(session uuid) RETURNS text LANGUAGE sql STABLE AS $$ SELECT title FROM sessions WHERE id = session $$;
CREATE FUNCTION add_message(id uuid, session uuid, body text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO messages (id, session_id, body) VALUES ($1, session, $3)
$$;
CREATE FUNCTION rename(session uuid, to_title text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_title <> '' THEN
        UPDATE sessions SET title = to_title WHERE sessions.id = session;
    ELSE
        RAISE NOTICE 'no title';
    END IF;
END $$;
CREATE PROCEDURE clear(session uuid) LANGUAGE sql AS $$ DELETE FROM messages WHERE session_id = session $$;
