-- name: GetQ8 :one
-- @cache user(id)
SELECT name FROM users WHERE id = $1;

-- name: SetQ8 :exec
UPDATE users SET name = $2 WHERE id = $1;
