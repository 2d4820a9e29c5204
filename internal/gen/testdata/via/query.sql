-- name: ListMessages :many
-- ListMessages returns the messages of a session with their authors' names.
-- @cache message(session_id)
-- @via users: SELECT messages.session_id FROM messages WHERE messages.author_id = users.id
SELECT m.id, m.body, u.name FROM messages m JOIN users u ON u.id = m.author_id WHERE m.session_id = $1 ORDER BY m.id;

-- name: ListAttachments :many
-- @cache attachment(session_id)
-- @via attachments: SELECT session_id FROM messages WHERE id = attachments.message_id
SELECT a.* FROM attachments a JOIN messages m ON m.id = a.message_id WHERE m.session_id = $1 ORDER BY a.id;

-- name: ListBodies :many
-- ListBodies is kept by a person, two tables away from what it reads.
-- @cache person(user_id)
-- @via attachments: SELECT s.user_id FROM messages m JOIN sessions s ON s.id = m.session_id WHERE m.id = attachments.message_id
-- @via messages: SELECT user_id FROM sessions WHERE id = messages.session_id
SELECT a.name, m.body
FROM sessions s
JOIN messages m ON m.session_id = s.id
JOIN attachments a ON a.message_id = m.id
WHERE s.user_id = $1
ORDER BY a.id;

-- name: RenameUser :exec
-- RenameUser locks the user, so that no message comes meanwhile, and looks up the sessions in which the name stands.
UPDATE users SET name = $2 WHERE id = $1;

-- name: TouchUser :exec
-- TouchUser changes nothing that is cached.
UPDATE users SET seen_at = now() WHERE id = $1;

-- name: AddUser :exec
-- AddUser needs no lookup: nothing refers to a new row.
INSERT INTO users (id, name) VALUES ($1, $2);

-- name: DeleteUser :exec
DELETE FROM users WHERE id = $1;

-- name: AddMessage :exec
-- AddMessage looks up who owns the session.
INSERT INTO messages (id, session_id, author_id, body) VALUES ($1, $2, $3, $4);

-- name: EditMessage :one
UPDATE messages SET body = $2 WHERE id = $1 RETURNING session_id;

-- name: AddAttachment :exec
INSERT INTO attachments (id, message_id, name) VALUES ($1, $2, $3);

-- name: DeleteAttachments :exec
DELETE FROM attachments WHERE message_id = ANY(@message_ids::uuid[]);
