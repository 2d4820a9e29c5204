-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: GetBookmark :one
-- @cache bookmark(id)
SELECT * FROM bookmarks WHERE id = $1;

-- name: GetNode :one
-- @cache node(id)
SELECT * FROM nodes WHERE id = $1;

-- name: DeleteUser :exec
DELETE FROM users WHERE id = $1;

-- name: RenumberUser :exec
UPDATE users SET id = @new_id WHERE id = @id;

-- name: DeleteSession :exec
DELETE FROM sessions WHERE id = $1;

-- name: DeleteNode :exec
DELETE FROM nodes WHERE id = $1;
