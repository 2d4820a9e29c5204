CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL, banned bool NOT NULL DEFAULT false);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE);
CREATE TABLE heads (id uuid PRIMARY KEY, tail_id uuid, label text NOT NULL);
CREATE TABLE tails (id uuid PRIMARY KEY, head_id uuid REFERENCES heads ON DELETE CASCADE, label text NOT NULL);
ALTER TABLE heads ADD FOREIGN KEY (tail_id) REFERENCES tails ON DELETE CASCADE;
CREATE TABLE guarded (id uuid PRIMARY KEY, label text NOT NULL);
CREATE TABLE below_guarded (id uuid PRIMARY KEY, guarded_id uuid NOT NULL REFERENCES guarded ON DELETE CASCADE);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.label = 'keep' THEN
        RETURN NULL;
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep BEFORE DELETE ON guarded FOR EACH ROW EXECUTE FUNCTION keep();
