-- name: ListOpen :many
-- @cache session_list(user_id) ttl=30s
-- @volatile-ok "an expired session may show for half a minute: whoever opens it is told"
SELECT * FROM sessions WHERE user_id = $1 AND expires_at > now() ORDER BY id;

-- name: Example :many
-- @cache session_list(user_id)
-- @volatile-ok "any three will do"
SELECT title FROM sessions WHERE user_id = $1 LIMIT 3;

-- name: HasAny :one
-- HasAny picks nothing: all of its rows are the same.
-- @cache session_list(user_id)
SELECT EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 LIMIT 1);

-- name: GetOne :one
-- GetOne has one row at most.
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1 LIMIT 1;

-- name: SetTitle :one
UPDATE sessions SET title = $2 WHERE id = $1 RETURNING user_id;
