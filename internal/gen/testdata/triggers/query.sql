-- name: GetSession :one
-- @cache session(id)
SELECT id, title, message_count, updated_at FROM sessions WHERE id = $1;

-- name: GetSessionBySlug :one
-- @cache slug(slug)
SELECT id, title FROM sessions WHERE slug = $1;

-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: ListAudit :many
-- @cache audit(session_id)
SELECT * FROM audit WHERE session_id = $1 ORDER BY id;

-- name: AddMessage :exec
-- AddMessage counts up in its session, and leaves a trace, by a trigger.
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: DeleteMessage :one
DELETE FROM messages WHERE id = $1 RETURNING session_id;

-- name: AddSession :one
-- AddSession gets its slug from a trigger: only RETURNING tells it.
INSERT INTO sessions (id, title, slug) VALUES ($1, $2, '') RETURNING slug;

-- name: Archive :exec
-- Archive sets updated_at by a trigger, which GetSession shows.
UPDATE sessions SET message_count = 0 WHERE id = $1;
