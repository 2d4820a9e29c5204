-- name: GetAuthor :one
-- @cache author(id) ttl=30m
SELECT * FROM authors WHERE id = $1;

-- name: ListAuthorsByIDs :many
-- @cache author(ids)
SELECT * FROM authors WHERE id = ANY(@ids::bigint[]);

-- name: GetAuthorByEmail :one
-- @cache author_by_email(email) ttl=30m
SELECT * FROM authors WHERE email = $1;

-- name: SearchAuthors :many
SELECT * FROM authors WHERE name ILIKE $1 LIMIT 10;

-- name: LockAuthor :one
SELECT * FROM authors WHERE id = $1 FOR UPDATE;

-- name: CreateAuthor :one
INSERT INTO authors (email, name) VALUES ($1, $2) RETURNING *;

-- name: GetBook :one
-- @cache book(id) ttl=30m
SELECT * FROM books WHERE id = $1;

-- name: GetBookOfAuthor :one
-- @cache book(id)
SELECT * FROM books WHERE id = $1 AND author_id = $2;

-- name: ListBooks :many
SELECT * FROM books WHERE author_id = $1 ORDER BY id;

-- name: CreateBook :one
INSERT INTO books (author_id, title) VALUES ($1, $2) RETURNING *;

-- name: RenameBook :exec
UPDATE books SET title = $2 WHERE id = $1;

-- name: GetPrice :one
-- @cache price_by_book_and_country(book_id, country) ttl=30m
SELECT * FROM prices WHERE book_id = $1 AND country = $2;

-- name: SetPrice :exec
INSERT INTO prices (book_id, country, cents) VALUES ($1, $2, $3)
ON CONFLICT (book_id, country) DO UPDATE SET cents = excluded.cents;
