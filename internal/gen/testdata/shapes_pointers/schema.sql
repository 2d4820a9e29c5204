CREATE TYPE mood AS ENUM ('happy', 'sad', 'so-so');

CREATE TABLE authors (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    mood mood,
    mentor_id uuid REFERENCES authors (id)
);

CREATE TABLE books (
    id bigint PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES authors (id) ON DELETE CASCADE,
    title text NOT NULL,
    pages int,
    meta jsonb
);
