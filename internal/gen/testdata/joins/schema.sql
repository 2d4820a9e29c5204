CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, title text NOT NULL);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL, body text NOT NULL);
CREATE TABLE notes (id uuid PRIMARY KEY, session_id uuid NOT NULL, body text NOT NULL);
CREATE VIEW talk AS SELECT m.session_id AS sid, m.body FROM messages m JOIN sessions s ON s.id = m.session_id;
CREATE VIEW talk2 AS SELECT t.sid AS session_id, t.body AS words FROM talk t;
