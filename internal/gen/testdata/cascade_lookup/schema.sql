CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE messages (id uuid PRIMARY KEY, session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE);
CREATE TABLE bookmarks (id uuid PRIMARY KEY, session_id uuid REFERENCES sessions ON DELETE SET NULL);
CREATE TABLE nodes (id uuid PRIMARY KEY, parent_id uuid REFERENCES nodes ON DELETE CASCADE, name text NOT NULL);
