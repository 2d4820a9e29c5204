-- name: GetNote :one
-- @cache note(id)
SELECT * FROM notes WHERE id = $1;

-- name: getUrl :one
SELECT url FROM notes WHERE id = $1;

-- name: loadNotes :copyfrom
INSERT INTO notes (id, owner_id, url) VALUES ($1, $2, $3);
