-- Each of these is a query of refuse_writes, refuse_unmapped, refuse_results or
-- refuse_cascade, with what the error told to write.

-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: ListByUser :many
-- @cache by_user(user_id)
SELECT * FROM messages WHERE user_id = $1 ORDER BY id;

-- name: GetMessage :one
-- @cache one(id)
SELECT * FROM messages WHERE id = $1;

-- name: GetTag :one
-- @cache tag(name)
SELECT * FROM tags WHERE name = $1;

-- name: ExecByOther :one
UPDATE messages SET body = $2 WHERE id = $1 RETURNING session_id, user_id;

-- name: PutIntoWhere :exec
UPDATE messages SET body = $2 WHERE id = $1 AND session_id = @session_id AND user_id = @user_id;

-- name: FirstOfMany :many
UPDATE messages SET body = '' WHERE likes = $1 RETURNING id, session_id, user_id;

-- name: LockMessage :one
-- LockMessage reads the old value in the transaction of MoveMessage.
SELECT session_id FROM messages WHERE id = $1 FOR UPDATE;

-- name: MoveMessage :one
UPDATE messages SET session_id = @session_id WHERE id = @id AND session_id = @old_session_id RETURNING *;

-- name: InsertDefault :one
INSERT INTO messages (session_id, user_id, body) VALUES ($1, $2, $3) RETURNING id;

-- name: InsertSelect :many
INSERT INTO messages (id, session_id, user_id, body) SELECT unnest(@ids::uuid[]), @session_id, @user_id, '' RETURNING id;

-- name: InsertRows :many
INSERT INTO messages (id, session_id, user_id, body) VALUES ($1, $2, $3, ''), ($4, $5, $6, '') RETURNING id, session_id, user_id;

-- name: Import :copyfrom
INSERT INTO messages (id, session_id, user_id, body) VALUES ($1, $2, $3, $4);

-- name: UpsertWithoutMove :one
INSERT INTO messages (id, session_id, user_id, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING *;

-- name: TakeMessage :many
-- TakeMessage and PutMessage are an upsert that moves, in one transaction.
DELETE FROM messages WHERE id = $1 RETURNING session_id, user_id;

-- name: PutMessage :one
INSERT INTO messages (id, session_id, user_id, body) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: UsingOther :many
DELETE FROM messages m USING sessions s WHERE s.id = m.session_id AND s.user_id = $1 RETURNING m.id, m.session_id, m.user_id;

-- name: LockSession :one
-- LockSession and DeleteMessages go before DeleteSession, in the same transaction.
SELECT id FROM sessions WHERE id = $1 FOR UPDATE;

-- name: DeleteMessages :many
DELETE FROM messages WHERE session_id = $1 RETURNING id, user_id;

-- name: DeleteSession :exec
-- @invalidates none(one) "its messages went before, under the lock of LockSession"
-- @invalidates none(by_user) "its messages went before, under the lock of LockSession"
DELETE FROM sessions WHERE id = $1;

-- name: AddTags :copyfrom
INSERT INTO tags (id, name) VALUES ($1, $2);
