CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    title text NOT NULL
);
CREATE PROCEDURE archive(x uuid) LANGUAGE sql AS 'DELETE FROM sessions WHERE id = x';
CREATE FUNCTION archived(x uuid) RETURNS uuid LANGUAGE sql AS 'DELETE FROM sessions WHERE id = x RETURNING id';
-- One of the overloads is volatile, and stays so when the other is replaced.
CREATE FUNCTION either(x int) RETURNS int LANGUAGE sql AS 'DELETE FROM sessions RETURNING 1';
CREATE FUNCTION either(x text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE OR REPLACE FUNCTION either(x text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2';
-- IMMUTABLE once, and no longer.
CREATE FUNCTION turned(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
ALTER FUNCTION turned(int) VOLATILE;
-- VOLATILE by default, and corrected.
CREATE FUNCTION calmed(x int) RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION calmed(int) IMMUTABLE;
CREATE VIEW cleaned AS SELECT archived(id) AS gone FROM sessions;
