CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id int NOT NULL,
    title text NOT NULL
);
