-- name: GetSettings :many
-- @cache settings(user_id)
SELECT * FROM settings WHERE user_id = $1 ORDER BY name;

-- name: GetSetting :one
-- @cache setting(user_id, name)
SELECT * FROM settings WHERE user_id = $1 AND name = $2;

-- name: ListTagged :many
-- @cache tagged(tag)
SELECT * FROM settings WHERE tag = $1 ORDER BY name;

-- name: Save :one
INSERT INTO settings (user_id, name, value, tag) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value
RETURNING *;

-- name: SaveByName :one
INSERT INTO settings (user_id, name, value) VALUES ($1, $2, $3)
ON CONFLICT ON CONSTRAINT settings_once DO UPDATE SET value = excluded.value, user_id = excluded.user_id
RETURNING tag;

-- name: Keep :exec
INSERT INTO settings (user_id, name, value, tag) VALUES ($1, $2, $3, 'kept') ON CONFLICT DO NOTHING;

-- name: Defaults :many
INSERT INTO settings (user_id, name, value) VALUES (@user_id, 'a', '1'), (@user_id, 'b', '2') RETURNING *;
