-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListMessages :many
-- ListMessages reads sessions too, in the function: it is read as if its body stood here.
-- @cache message(session_id)
SELECT m.body, title_of(m.session_id) AS title FROM messages m WHERE m.session_id = $1 ORDER BY m.id;

-- name: AddMessage :exec
SELECT add_message($1, $2, $3);

-- name: Rename :exec
SELECT rename($1, $2);

-- name: Clear :exec
CALL clear($1);
