-- name: GetAuthor :one
-- @cache author(id)
SELECT * FROM authors WHERE id = $1;

-- name: GetAuthorName :one
-- @cache author(id)
SELECT name, mood FROM authors WHERE id = $1;

-- name: GetMood :one
-- @cache author(id)
SELECT mood FROM authors WHERE id = $1;

-- name: ListAuthors :many
-- @cache author(ids)
SELECT * FROM authors WHERE id = ANY(@ids::uuid[]);

-- name: ListPupils :many
-- @cache pupils(mentor_id)
SELECT * FROM authors WHERE mentor_id = sqlc.narg('mentor_id') ORDER BY name;

-- name: ListByMood :many
-- @cache by_mood(mood)
SELECT * FROM authors WHERE mood = @mood::mood;

-- name: ListBooks :many
-- @cache author_books(author_id)
SELECT * FROM books
WHERE author_id = @author_id AND (sqlc.narg('min_pages')::int IS NULL OR pages >= sqlc.narg('min_pages'))
    AND title LIKE @pattern
ORDER BY id
LIMIT @n OFFSET @skip;

-- name: ListManyFilters :many
-- ListManyFilters has more parameters than the limit: a struct, by pointer.
-- @cache author_books(author_id)
SELECT id, title FROM books
WHERE author_id = @author_id AND pages >= @min_pages AND pages < @max_pages AND title > @after AND title LIKE @pattern
LIMIT @n;

-- name: ListBooksWithAuthor :many
-- @cache author_books(author_id)
SELECT sqlc.embed(b), sqlc.embed(a) FROM books b JOIN authors a ON a.id = b.author_id WHERE a.id = @author_id;

-- name: CreateAuthor :one
INSERT INTO authors (name, mood, mentor_id) VALUES ($1, $2, $3) RETURNING *;

-- name: SetMood :one
UPDATE authors SET mood = @mood WHERE id = @id AND mood = @old_mood RETURNING id, mentor_id;

-- name: UpdateBook :one
UPDATE books SET title = coalesce(sqlc.narg('title'), title), pages = coalesce(sqlc.narg('pages'), pages),
    meta = coalesce(sqlc.narg('meta'), meta)
WHERE id = @id
RETURNING *;

-- name: DeleteAuthors :many
DELETE FROM authors WHERE id = ANY(@ids::uuid[]) RETURNING id, mood, mentor_id;

-- name: AddBook :exec
INSERT INTO books (id, author_id, title, pages, meta) VALUES ($1, $2, $3, $4, $5);

-- name: AddBooks :copyfrom
INSERT INTO books (id, author_id, title) VALUES ($1, $2, $3);

-- name: TouchBooks :execresult
UPDATE books SET meta = $2 WHERE author_id = $1 AND id = $3;
