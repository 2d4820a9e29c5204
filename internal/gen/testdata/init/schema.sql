CREATE TABLE authors (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL
);

CREATE TABLE books (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author_id bigint NOT NULL REFERENCES authors (id),
    title text NOT NULL
);

CREATE TABLE prices (
    book_id bigint NOT NULL REFERENCES books (id),
    country text NOT NULL,
    cents int NOT NULL,
    UNIQUE (book_id, country)
);
