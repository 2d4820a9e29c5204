-- name: GetSession :one
-- GetSession returns a session.
--
-- It has a second paragraph.
-- @cache session(id) ttl=30m
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessions :many
-- @cache session_list(user_id)
SELECT * FROM sessions WHERE user_id = @user_id ORDER BY title LIMIT @page;

-- name: CountSessions :one
-- @cache session_list(user_id)
SELECT count(*) FROM sessions WHERE user_id = $1;

-- name: CreateSession :one
INSERT INTO sessions (user_id, title) VALUES ($1, $2) RETURNING *;

-- name: RenameSession :one
UPDATE sessions SET title = $2 WHERE id = $1 RETURNING *;

-- name: RenameAll :many
UPDATE sessions SET title = $1 WHERE seen IS NULL RETURNING id, user_id;

-- name: DeleteSession :exec
DELETE FROM sessions WHERE id = $1 AND user_id = $2;

-- name: DeleteSessionCounted :execrows
DELETE FROM sessions WHERE id = $1 AND user_id = $2;

-- name: DeleteSessionTagged :execresult
DELETE FROM sessions WHERE id = $1 AND user_id = $2;

-- name: ListTitles :many
-- ListTitles is not cached.
SELECT title FROM sessions;

-- name: Like :exec
-- Like changes a table that no cached read uses.
UPDATE messages SET likes = likes + 1 WHERE id = $1;
