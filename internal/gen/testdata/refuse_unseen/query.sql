-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessions :many
-- @cache session_list(user_id)
SELECT * FROM sessions WHERE user_id = $1 ORDER BY id;

-- name: AddSession :exec
-- AddSession gives a user, and the trigger puts another one in its place.
INSERT INTO sessions (id, user_id, title) VALUES ($1, $2, $3);

-- name: EditMessage :exec
-- EditMessage changes sessions that nobody could name.
UPDATE messages SET body = $2 WHERE id = $1;

-- name: AddNote :exec
INSERT INTO notes (id, body) VALUES ($1, $2);

-- name: AddFile :exec
INSERT INTO files (id, body) VALUES ($1, $2);

-- name: AddLink :exec
INSERT INTO links (id, body) VALUES ($1, $2);

-- name: Sweep :exec
SELECT sweep($1);

-- name: SetName :exec
-- SetName writes through a view that shows a column under another name.
UPDATE titles SET name = $2 WHERE id = $1;
