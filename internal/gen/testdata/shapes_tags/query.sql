-- name: GetNote :one
-- @cache note(id)
SELECT * FROM notes WHERE id = $1;

-- name: GetUrl :one
SELECT url FROM notes WHERE id = $1;

-- name: LoadNotes :copyfrom
INSERT INTO notes (id, owner_id, url) VALUES ($1, $2, $3);
