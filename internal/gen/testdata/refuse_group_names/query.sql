-- name: A :one
-- @cache some_name(id)
SELECT * FROM sessions WHERE id = $1;

-- name: B :one
-- @cache someName(id)
SELECT title FROM sessions WHERE id = $1;

-- name: Begin :many
SELECT title FROM sessions;
