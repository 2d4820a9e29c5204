-- name: ListBoth :many
-- @cache s(id)
SELECT sqlc.embed(s), sqlc.embed(m) FROM sessions s JOIN messages m ON m.session_id = s.id WHERE s.id = $1;

-- name: ListLog :many
-- @cache log(session_id)
SELECT * FROM audit.log WHERE session_id = $1 ORDER BY id;

-- name: Log :exec
INSERT INTO audit.log (id, session_id) VALUES ($1, $2);

-- name: Retitle :many
UPDATE sessions SET title = $1 WHERE title = $2 RETURNING sqlc.embed(sessions);
