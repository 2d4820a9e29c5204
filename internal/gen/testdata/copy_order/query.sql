-- name: ListMessages :many
-- @cache message(session_id)
SELECT * FROM messages WHERE session_id = $1 ORDER BY id; -- the comment below belongs to the next query
-- @cache one(id)
-- name: GetMessage :one
SELECT * FROM messages WHERE id = $1;

-- name: Import :copyfrom
-- Import has its columns in another order than its parameters.
INSERT INTO messages (id, session_id, user_id) VALUES ($3, $1, $2);
