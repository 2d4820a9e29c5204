CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE prefs (user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE, theme text NOT NULL);
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE RESTRICT,
    UNIQUE (id, user_id)
);
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL,
    user_id uuid NOT NULL,
    body text NOT NULL,
    FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id) ON DELETE CASCADE,
    UNIQUE (id, session_id)
);
CREATE TABLE files (
    id uuid PRIMARY KEY,
    message_id uuid NOT NULL,
    session_id uuid NOT NULL,
    FOREIGN KEY (message_id, session_id) REFERENCES messages (id, session_id) ON DELETE CASCADE
);
CREATE TABLE bookmarks (id uuid PRIMARY KEY, session_id uuid REFERENCES sessions (id) ON DELETE SET NULL);
