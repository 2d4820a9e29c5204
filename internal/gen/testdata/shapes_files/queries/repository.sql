-- name: GetQ13 :one
-- @cache user(id)
SELECT name FROM users WHERE id = $1;

-- name: SetQ13 :exec
UPDATE users SET name = $2 WHERE id = $1;
