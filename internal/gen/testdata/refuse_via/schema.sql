CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL, manager_id uuid REFERENCES users DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES users, label text NOT NULL);
CREATE TABLE tags (id uuid PRIMARY KEY, label text NOT NULL, note text NOT NULL);
