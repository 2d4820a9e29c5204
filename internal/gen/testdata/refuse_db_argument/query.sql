-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;
