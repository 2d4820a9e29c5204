-- name: Len :one
-- @cache queries(db)
SELECT * FROM sessions WHERE id = @db;

-- name: Cache :one
-- @cache session(rows)
SELECT title FROM sessions WHERE id = @rows;

-- name: Drop :exec
DELETE FROM sessions WHERE id = @row;
