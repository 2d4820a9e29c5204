CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    title text NOT NULL
);
-- What these views read is fixed; their text no longer says it.
CREATE TABLE books (id uuid PRIMARY KEY, title text NOT NULL);
CREATE VIEW titles AS SELECT id, title FROM books;
CREATE VIEW titles_of AS SELECT id, title FROM titles;
CREATE TABLE others (n int NOT NULL);
CREATE VIEW owners AS SELECT * FROM sessions, others;
ALTER TABLE books RENAME COLUMN title TO name;
ALTER TABLE sessions ADD COLUMN seen int;

-- The trigger follows the column.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TABLE notes (id uuid PRIMARY KEY, old_body text NOT NULL);
CREATE TRIGGER noted AFTER UPDATE OF old_body ON notes FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE notes RENAME COLUMN old_body TO body;

-- The primary key that a foreign key means may stand behind it.
CREATE TABLE nodes (
    id int NOT NULL,
    parent int REFERENCES nodes ON UPDATE CASCADE,
    label text NOT NULL,
    PRIMARY KEY (id)
);

-- Two foreign keys of one column: the second is twins_id_fkey1, and stays.
CREATE TABLE twins (id uuid REFERENCES sessions ON DELETE CASCADE REFERENCES notes ON DELETE CASCADE, n int);
ALTER TABLE twins DROP CONSTRAINT twins_id_fkey;

-- A key that is gone under its new name proves nothing.
CREATE TABLE tags (id uuid, label text NOT NULL, CONSTRAINT once UNIQUE (id));
ALTER TABLE tags RENAME CONSTRAINT once TO only_once;
ALTER TABLE tags DROP CONSTRAINT only_once;
ALTER TABLE tags DROP CONSTRAINT nobody_knows;
