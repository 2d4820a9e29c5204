CREATE TABLE sessions (
    id int PRIMARY KEY,
    user_id int NOT NULL,
    title text NOT NULL CHECK (title <> 'bad'),
    seen int NOT NULL DEFAULT 0
);
CREATE TABLE messages (
    id int PRIMARY KEY,
    session_id int REFERENCES sessions (id),
    body text NOT NULL
);
