CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    title text NOT NULL,
    slug text NOT NULL UNIQUE,
    message_count int NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE, body text NOT NULL);
CREATE TABLE audit (id bigserial PRIMARY KEY, session_id uuid NOT NULL, what text NOT NULL);

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER sessions_touch BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION touch();

CREATE FUNCTION slugify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.slug = lower(replace(NEW.title, ' ', '-'));
    RETURN NEW;
END $$;
CREATE TRIGGER sessions_slug BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION slugify();

CREATE FUNCTION count_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE sessions SET message_count = message_count - 1 WHERE id = OLD.session_id;
        RETURN OLD;
    END IF;
    UPDATE sessions SET message_count = message_count + 1 WHERE id = NEW.session_id;
    INSERT INTO audit (session_id, what) VALUES (NEW.session_id, TG_OP);
    PERFORM pg_notify('messages', NEW.session_id::text);
    RETURN NEW;
END $$;
CREATE TRIGGER messages_count AFTER INSERT OR DELETE ON messages FOR EACH ROW EXECUTE FUNCTION count_messages();
