-- name: GetRoom :one
-- @cache room(id)
SELECT * FROM rooms WHERE id = @id::bigint;

-- name: ListRooms :many
-- @cache rooms(kind)
SELECT * FROM rooms WHERE kind = $1 ORDER BY id;

-- name: ListSeats :many
-- @cache seats(room_id, taken)
SELECT * FROM seats WHERE room_id = $1 AND taken = $2 ORDER BY id;

-- name: ListKind :many
-- @cache seat_kind(kind)
SELECT * FROM seats WHERE kind = $1 ORDER BY id;

-- name: CreateRoom :one
INSERT INTO rooms (id, kind, name) VALUES ($1, 'open', $2) RETURNING *;

-- name: CreateSeat :exec
INSERT INTO seats (id, room_id, taken) VALUES ($1, $2, false);

-- name: TakeSeat :one
UPDATE seats SET taken = true WHERE id = $1 AND NOT taken AND taken = false RETURNING room_id, kind;
