-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id;

-- name: Import :copyfrom
INSERT INTO messages (id, session_id, body) VALUES (@id, @session_id, @body);

-- name: ImportSessions :copyfrom
INSERT INTO sessions (user_id, title) VALUES ($1, $2);

-- name: SeeSessions :batchexec
-- SeeSessions is a batch that no cached read depends on.
UPDATE sessions SET seen = now() WHERE id = $1;
