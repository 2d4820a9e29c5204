-- name: GetPrefs :one
-- @cache prefs(user_id)
SELECT * FROM prefs WHERE user_id = $1;

-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: ListFiles :many
-- @cache file(session_id)
SELECT * FROM files WHERE session_id = $1 ORDER BY id;

-- name: ListBookmarks :many
-- @cache bookmark(session_id)
SELECT * FROM bookmarks WHERE session_id = @session_id::uuid ORDER BY id;

-- name: DeleteUser :exec
DELETE FROM users WHERE id = $1;

-- name: RenumberUser :exec
UPDATE users SET id = @new_id WHERE id = @id;

-- name: RenameUser :exec
UPDATE users SET name = $2 WHERE id = $1;

-- name: DeleteSession :exec
DELETE FROM sessions WHERE id = $1;

-- name: DeleteSessionsOf :many
DELETE FROM sessions WHERE user_id = $1 RETURNING id;
