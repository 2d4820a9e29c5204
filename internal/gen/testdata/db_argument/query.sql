-- name: GetSession :one
-- GetSession is a read.
-- @cache session(id)
SELECT id, user_id, title FROM sessions WHERE id = $1;

-- name: Sessions :many
-- Sessions is a batch of reads.
-- @cache session(ids)
SELECT id, user_id, title FROM sessions WHERE id = ANY(@ids::int[]);

-- name: ListMessages :many
-- @cache message(session_id)
SELECT id, body FROM messages WHERE session_id = @session_id::int ORDER BY id;

-- name: CountSessions :one
-- CountSessions is not cached.
SELECT count(*) FROM sessions;

-- name: RenameSession :exec
UPDATE sessions SET title = $2 WHERE id = $1;

-- name: RenameSessions :execrows
UPDATE sessions SET title = @title WHERE id = ANY(@ids::int[]);

-- name: RetitleSessions :many
UPDATE sessions SET title = $2 WHERE user_id = $1 RETURNING id;

-- name: AddSession :one
INSERT INTO sessions (id, user_id, title) VALUES ($1, $2, $3) RETURNING *;

-- name: SeeSession :exec
-- SeeSession changes no cached read.
UPDATE sessions SET seen = seen + 1 WHERE id = $1;

-- name: ImportMessages :copyfrom
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: RenameEach :batchexec
UPDATE sessions SET title = $2 WHERE id = $1;

-- name: MoveMessages :batchone
UPDATE messages SET body = @body WHERE id = @id RETURNING id, session_id;

-- name: DeleteMessages :batchmany
DELETE FROM messages WHERE session_id = @session_id AND body <> @keep RETURNING id;

-- name: AddMessages :batchexec
-- AddMessages has a key of another type than its group's.
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: SeeSessions :batchexec
-- SeeSessions is a batch that changes no cached read.
UPDATE sessions SET seen = seen + 1 WHERE id = $1;
