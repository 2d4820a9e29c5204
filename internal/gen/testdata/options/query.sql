-- name: GetSession :one
-- @cache session(id) ttl=90s mode=strict negative=off
SELECT * FROM sessions WHERE id = $1;

-- name: GetTitle :one
-- @cache session(id) ttl=90s
SELECT title FROM sessions WHERE id = $1;

-- name: ListMessages :many
-- @cache message(session_id) mode=aftercommit near=2s
-- @stale-ok sessions
SELECT m.body, s.title FROM messages m JOIN sessions s ON true WHERE m.session_id = $1;

-- name: CreateSession :exec
-- CreateSession needs nothing: its key is new, and "no row" is not kept.
INSERT INTO sessions (user_id, title) VALUES ($1, $2);

-- name: ClearSeen :exec
-- @invalidates none(session) "seen is shown by no page"
UPDATE sessions SET seen = NULL WHERE user_id = $1;

-- name: MoveMessage :exec
-- @invalidates message(old_session)
-- @invalidates message(new_session)
UPDATE messages SET session_id = @new_session WHERE id = @id AND @old_session::uuid IS NOT NULL;
