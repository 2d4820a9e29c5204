-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessions :many
-- @cache session_list(user_id)
SELECT * FROM sessions WHERE user_id = $1 ORDER BY id;

-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: ListArchived :many
-- @cache archived(session_id)
SELECT * FROM archived_messages WHERE session_id = $1 ORDER BY id;

-- name: DeleteTwo :exec
-- DeleteTwo names rows by IN.
DELETE FROM messages WHERE session_id IN (@a, @b);

-- name: InsertTwo :exec
-- InsertTwo has several rows of VALUES, and each of their keys counts.
INSERT INTO messages (id, session_id, body) VALUES (@id1, @session1, 'hello'), (@id2, @session2, 'hello');

-- name: InsertMany :exec
-- InsertMany makes a row of each element of its lists.
INSERT INTO messages (id, session_id, body) SELECT unnest(@ids::uuid[]), unnest(@session_ids::uuid[]), unnest(@bodies::text[]);

-- name: CopyMessages :exec
-- CopyMessages takes the key from the condition of its SELECT.
INSERT INTO messages (id, session_id, body) SELECT gen_random_uuid(), s.id, s.title FROM sessions s WHERE s.id = $1;

-- name: Moved :many
-- Moved shows every row of the statement in its WITH.
WITH gone AS (DELETE FROM messages WHERE id = ANY(@ids::uuid[]) RETURNING id, session_id) SELECT id, session_id FROM gone;

-- name: Archive :exec
-- Archive inserts what it deletes.
WITH gone AS (DELETE FROM messages WHERE messages.session_id = $1 RETURNING id, session_id, body)
INSERT INTO archived_messages (id, session_id, body) SELECT id, session_id, body FROM gone;

-- name: ArchiveSome :many
-- ArchiveSome hands back the keys of both tables.
WITH gone AS (DELETE FROM messages WHERE messages.id = ANY(@ids::uuid[]) RETURNING id, session_id, body)
INSERT INTO archived_messages (id, session_id, body) SELECT id, session_id, body FROM gone RETURNING archived_messages.session_id;

-- name: GiveAway :one
-- GiveAway tells the old owner, which it has read under a lock.
WITH old AS (SELECT id, user_id FROM sessions WHERE sessions.id = $1 FOR UPDATE)
UPDATE sessions SET user_id = @new_user_id FROM old WHERE sessions.id = old.id RETURNING old.user_id AS old_user_id;
