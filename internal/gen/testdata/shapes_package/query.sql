-- name: GetNote :one
-- @cache note(id)
SELECT * FROM notes WHERE id = $1;

-- name: GetUrl :one
SELECT url FROM notes WHERE id = $1;

-- name: ListNotes :many
-- @cache owner_notes(owner_id)
SELECT * FROM notes WHERE owner_id = $1 ORDER BY id;

-- name: ListNotesByIds :many
-- @cache note(ids)
SELECT * FROM notes WHERE id = ANY(@ids::uuid[]);

-- name: CreateNote :one
INSERT INTO notes (id, owner_id, url) VALUES ($1, $2, $3) RETURNING *;

-- name: DeleteNotes :many
DELETE FROM notes WHERE url = $1 RETURNING *;

-- name: LoadNotes :copyfrom
INSERT INTO notes (id, owner_id, url) VALUES ($1, $2, $3);
