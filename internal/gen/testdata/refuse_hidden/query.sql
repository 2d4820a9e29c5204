-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: GetEvents :many
-- @cache event(id)
SELECT * FROM events WHERE id = $1 ORDER BY at;

-- name: GetAnimal :one
-- @cache animal(id)
SELECT * FROM animals WHERE id = $1;

-- name: DeleteSession :exec
-- @invalidates none(event) "sessions have no events"
DELETE FROM sessions WHERE id = $1;

-- name: SetTitle :exec
UPDATE sessions SET title = $2 WHERE id = $1;

-- name: SetSeen :exec
-- SetSeen fires no trigger.
UPDATE sessions SET seen = $2 WHERE id = $1;

-- name: Log :exec
INSERT INTO logs (id, session_id) VALUES ($1, $2);

-- name: AddEvent :exec
INSERT INTO events (id, at) VALUES ($1, $2);

-- name: AddEventToPartition :exec
INSERT INTO events_1 (id, at) VALUES ($1, $2);

-- name: AddCat :exec
INSERT INTO cats (id, lives) VALUES ($1, $2);

-- name: WriteView :exec
UPDATE titles SET title = $2 WHERE id = $1;

-- name: Cleanup :one
SELECT cleanup();
