CREATE TABLE messages (
    id int PRIMARY KEY,
    session_id int NOT NULL,
    user_id int NOT NULL
);
