-- name: GetMessage :one
-- GetMessage returns one message of a session.
-- @cache message(session_id) ttl=15m
SELECT * FROM messages WHERE session_id = $1 AND id = $2;

-- name: ListMessages :many
-- ListMessages returns the newest messages of a session: the first page, for paging by cursor.
-- @cache message(session_id)
SELECT * FROM messages
WHERE session_id = @session_id
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListMessagesBefore :many
-- ListMessagesBefore returns the page of messages before the cursor (the last row of the page before).
-- @cache message(session_id)
SELECT * FROM messages
WHERE session_id = @session_id
  AND (created_at, id) < (@before_created_at::timestamptz, @before_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListMessagesPage :many
-- ListMessagesPage returns a page of messages of a session by offset, oldest first.
-- @cache message(session_id)
SELECT * FROM messages
WHERE session_id = @session_id
ORDER BY created_at, id
LIMIT @page_size OFFSET @page_offset;

-- name: ListMessagesBySessions :many
-- ListMessagesBySessions returns all messages of the given sessions, in no order: for an export.
-- @cache message(session_ids)
SELECT * FROM messages WHERE session_id = ANY(@session_ids::uuid[]);

-- name: CountMessages :one
-- CountMessages returns how many messages a session has.
-- @cache message(session_id)
SELECT count(*) FROM messages WHERE session_id = $1;

-- name: ListFlaggedMessages :many
-- ListFlaggedMessages returns the newest messages that somebody should look at. Never cached: a risk must be seen at once.
SELECT * FROM messages WHERE flagged ORDER BY created_at DESC LIMIT $1;

-- name: CreateMessage :one
-- CreateMessage adds a message to a session.
INSERT INTO messages (session_id, user_id, role, content, token_count, sentiment, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *;

-- name: ImportMessages :copyfrom
-- ImportMessages adds many messages by COPY.
INSERT INTO messages (id, session_id, user_id, role, content, token_count, sentiment, metadata, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: UpdateMessage :one
-- UpdateMessage replaces the text of a message.
UPDATE messages
SET content = $3, token_count = $4, sentiment = $5, edited_at = now()
WHERE session_id = $1 AND id = $2
RETURNING *;

-- name: FlagMessages :many
-- FlagMessages marks messages as worth a look and returns where they are.
UPDATE messages SET flagged = true
WHERE id = ANY(@ids::uuid[])
RETURNING id, session_id, user_id;

-- name: DeleteMessage :execrows
-- DeleteMessage removes one message and returns how many were there.
DELETE FROM messages WHERE id = $1 AND session_id = $2 AND user_id = $3;
