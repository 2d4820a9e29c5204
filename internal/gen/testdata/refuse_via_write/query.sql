-- name: GetSession :one
-- @cache session(id)
-- @via users: SELECT id FROM sessions WHERE user_id = users.id
SELECT s.title, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: ListBodies :many
-- @cache person(user_id)
-- @via messages: SELECT user_id FROM sessions WHERE id = messages.session_id
SELECT m.body FROM messages m JOIN sessions s ON s.id = m.session_id WHERE s.user_id = $1 ORDER BY m.id;

-- name: RenameOwners :exec
-- RenameOwners has a condition that other rows decide.
UPDATE users SET name = $1 FROM sessions WHERE sessions.user_id = users.id AND sessions.title = $2;

-- name: AddMessages :copyfrom
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: AddMessageToTitle :exec
-- AddMessageToTitle doesn't tell the session.
INSERT INTO messages (id, session_id, body) SELECT $1, id, $2 FROM sessions WHERE title = $3;
