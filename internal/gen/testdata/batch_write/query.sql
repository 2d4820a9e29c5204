-- name: GetSession :one
-- @cache session(id)
SELECT id, user_id, title FROM sessions WHERE id = $1;

-- name: ListSessions :many
-- @cache session_list(user_id)
SELECT id, title FROM sessions WHERE user_id = $1 ORDER BY id;

-- name: Report :one
-- @cache report(user_id, id)
SELECT title FROM sessions WHERE user_id = $1 AND id = $2;

-- name: ListMessages :many
-- @cache message(session_id)
SELECT id, body FROM messages WHERE session_id = @session_id::uuid ORDER BY body;

-- name: RenameSessions :batchexec
-- RenameSessions is a batch whose keys are in its arguments.
UPDATE sessions SET title = @title WHERE id = @id AND user_id = @user_id;

-- name: AddMessages :batchexec
-- AddMessages has rows whose session may be NULL.
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: RetitleSessions :batchone
-- RetitleSessions tells one of its keys by its result only.
UPDATE sessions SET title = $2 WHERE id = $1 RETURNING id, user_id, title;

-- name: RetitleUsers :batchone
-- RetitleUsers changes several rows, of which the caller sees one.
UPDATE sessions SET title = $2 WHERE user_id = $1 RETURNING id;

-- name: DeleteMessages :batchmany
-- DeleteMessages has arguments that are no structs, and a result that may be NULL.
DELETE FROM messages WHERE body = $1 RETURNING *;

-- name: ClearSessions :batchmany
-- ClearSessions has a key of an argument and a result.
DELETE FROM sessions WHERE user_id = $1 RETURNING id;

-- name: EditMessages :batchexec
-- EditMessages has lists among its arguments.
UPDATE messages SET body = @body WHERE session_id = ANY(@session_ids::uuid[]);

-- name: ForgetSessions :batchexec
-- @invalidates session(a)
-- @invalidates none(session_list) "the titles stay"
-- @invalidates none(report) "the title stays"
UPDATE sessions SET title = title, seen = NULL WHERE id = @a::uuid;

-- name: SeeSessions :batchexec
-- SeeSessions is a batch that no cached read depends on.
UPDATE sessions SET seen = now() WHERE id = $1;

-- name: FindSessions :batchmany
-- FindSessions reads.
SELECT id FROM sessions WHERE title = $1;
