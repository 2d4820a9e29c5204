-- name: GetQ4 :one
-- @cache user(id)
SELECT name FROM users WHERE id = $1;

-- name: SetQ4 :exec
UPDATE users SET name = $2 WHERE id = $1;
