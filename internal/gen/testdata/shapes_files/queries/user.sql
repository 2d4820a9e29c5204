-- name: GetQ1 :one
-- @cache user(id)
SELECT name FROM users WHERE id = $1;

-- name: SetQ1 :exec
UPDATE users SET name = $2 WHERE id = $1;
