-- name: GetDevice :one
-- GetDevice returns one device.
-- @cache device(id) ttl=20m
SELECT * FROM devices WHERE id = $1;

-- name: ListDevicesByIDs :many
-- ListDevicesByIDs returns those of the given devices that exist, in no order.
-- @cache device(ids)
SELECT * FROM devices WHERE id = ANY(@ids::uuid[]);

-- name: ListDevices :many
-- ListDevices returns a person's devices, newest first.
-- @cache device_list(user_id)
SELECT * FROM devices WHERE user_id = $1 ORDER BY created_at DESC, id DESC;

-- name: CreateDevice :one
-- CreateDevice registers a device.
INSERT INTO devices (user_id, platform, name, push_token, app_version, trusted)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *;

-- name: UpdateDevice :one
-- UpdateDevice changes a device.
UPDATE devices
SET name = $2, push_token = $3, app_version = $4, trusted = $5, last_seen_at = $6
WHERE id = $1
RETURNING *;

-- name: DeleteDevice :one
-- DeleteDevice removes a device; its logins must be removed first (DeleteUserSessionsOfDevice).
DELETE FROM devices WHERE id = $1 RETURNING id, user_id;

-- name: DeleteDevicesOfUser :many
-- DeleteDevicesOfUser removes all devices of a person.
DELETE FROM devices WHERE user_id = $1 RETURNING id, user_id;
