CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, title text NOT NULL);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL, body text NOT NULL);
CREATE TABLE notes (id uuid PRIMARY KEY, body text NOT NULL);
CREATE TABLE files (id uuid PRIMARY KEY, body text NOT NULL);
CREATE TABLE links (id uuid PRIMARY KEY, body text NOT NULL);

CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.user_id := (SELECT user_id FROM sessions LIMIT 1);
    RETURN NEW;
END $$;
CREATE TRIGGER own BEFORE INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION own();

CREATE FUNCTION touch_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions SET title = NEW.body WHERE title = OLD.body;
    RETURN NEW;
END $$;
CREATE TRIGGER touch_all AFTER UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION touch_all();

CREATE FUNCTION dynamic() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'DELETE FROM ' || TG_ARGV[0];
    RETURN NEW;
END $$;
CREATE TRIGGER dynamic AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION dynamic('messages');

CREATE FUNCTION native() RETURNS trigger LANGUAGE c AS 'library', 'native';
CREATE TRIGGER native AFTER INSERT ON files FOR EACH ROW EXECUTE FUNCTION native();

CREATE TRIGGER missing AFTER INSERT ON links FOR EACH ROW EXECUTE FUNCTION elsewhere();

CREATE FUNCTION sweep(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %I', name);
END $$;
CREATE VIEW titles AS SELECT id, title AS name FROM sessions;
