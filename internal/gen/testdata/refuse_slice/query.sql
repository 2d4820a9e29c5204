-- name: GetSessions :many
-- @cache session(ids)
SELECT * FROM sessions WHERE id IN (sqlc.slice('ids'));

-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = sqlc.narg(id);
