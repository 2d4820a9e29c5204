-- name: Len :one
-- @cache queries(db)
SELECT * FROM sessions WHERE id = @db;

-- name: Cache :one
-- @cache session(rows)
SELECT title FROM sessions WHERE id = @rows;

-- name: Drop :exec
DELETE FROM sessions WHERE id = @row;

-- name: Rename :exec
UPDATE sessions SET title = $2 WHERE id = $1;

-- name: RenameKeys :one
-- RenameKeys has its variable where the function for Rename's keys would stand.
-- @cache session(id)
SELECT title FROM sessions WHERE id = $1;
