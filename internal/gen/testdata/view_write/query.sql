-- name: GetUser :one
-- @cache user(id)
SELECT * FROM live_users WHERE id = $1;

-- name: RenameUser :exec
-- RenameUser writes to the table below two views.
UPDATE names SET name = $2 WHERE id = $1;

-- name: DeleteUser :exec
UPDATE live_users SET deleted_at = now() WHERE id = $1;
