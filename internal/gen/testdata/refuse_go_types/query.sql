-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListByUser :many
-- @cache sessions(user_id)
SELECT * FROM sessions WHERE user_id = $1;
