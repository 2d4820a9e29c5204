-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessions :many
-- @cache session_list(user_id)
SELECT id FROM sessions WHERE user_id = $1 ORDER BY id;

-- name: Give :exec
-- @invalidates session(id)
-- @invalidates session_list(user_id)
-- @invalidates session_list(old_user)
UPDATE sessions SET user_id = @user_id WHERE id = @id AND user_id = @old_user;

-- name: CreateSession :exec
-- CreateSession fires no trigger.
INSERT INTO sessions (id, user_id) VALUES ($1, $2);
