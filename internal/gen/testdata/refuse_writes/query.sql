-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: GetMessage :one
-- @cache one(id)
SELECT * FROM messages WHERE id = $1;

-- name: ExecByOther :exec
UPDATE messages SET body = $2 WHERE id = $1;

-- name: ExecReturning :exec
DELETE FROM messages WHERE id = $1 RETURNING session_id;

-- name: RowsByOther :execrows
DELETE FROM messages WHERE id = $1;

-- name: FirstOfMany :one
UPDATE messages SET body = '' WHERE likes = $1 RETURNING id, session_id;

-- name: ManyWithoutKey :many
UPDATE messages SET body = '' WHERE likes = $1 RETURNING body;

-- name: MoveUnknownOld :one
UPDATE messages SET session_id = $2 WHERE id = $1 RETURNING *;

-- name: MoveUnknownNew :exec
UPDATE messages SET session_id = (SELECT s.id FROM sessions s LIMIT 1) WHERE messages.id = $1 AND messages.session_id = $2;

-- name: EitherOr :exec
UPDATE messages SET body = '' WHERE id = @id OR session_id = @session_id;

-- name: InsertDefault :exec
INSERT INTO messages (session_id, body) VALUES ($1, $2);

-- name: InsertSelect :exec
INSERT INTO messages (id, session_id, body) SELECT unnest(@ids::uuid[]), @session_id, '';

-- name: InsertRows :exec
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, ''), ($3, $4, '');

-- name: Import :copyfrom
INSERT INTO messages (session_id, body) VALUES ($1, $2);

-- name: UpsertMoves :one
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET session_id = excluded.session_id RETURNING *;

-- name: UpsertUnknown :exec
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3)
ON CONFLICT (id) DO UPDATE SET body = excluded.body;

-- name: FromOther :exec
UPDATE messages m SET body = s.title FROM sessions s WHERE s.id = m.session_id AND s.user_id = $1;

-- name: UsingOther :exec
DELETE FROM messages m USING sessions s WHERE s.id = m.session_id AND s.user_id = $1;

-- name: InCTE :many
WITH gone AS (DELETE FROM messages WHERE likes = 0 RETURNING *) SELECT id, session_id FROM gone;

-- name: Empty :exec
TRUNCATE messages;

-- name: EmptySessions :exec
TRUNCATE sessions CASCADE;

-- name: BatchWrite :batchexec
DELETE FROM messages WHERE id = $1;

-- name: GetTag :one
-- @cache tag(name)
SELECT * FROM tags WHERE name = $1;

-- name: AddTag :exec
INSERT INTO tags (id, name) VALUES ($1, $2);

-- name: AddTags :copyfrom
INSERT INTO tags (id, name) VALUES ($1, $2);

-- name: DropTag :exec
DELETE FROM tags WHERE name = $1;
