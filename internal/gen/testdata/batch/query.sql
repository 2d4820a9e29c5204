-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessionsByIDs :many
-- @cache session(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: ListSessionsOfUsers :many
-- @cache session_list(user_ids)
SELECT * FROM sessions WHERE user_id = ANY(@user_ids::uuid[]);

-- name: ListWithCounts :many
-- @cache counted(ids)
SELECT s.id, s.title, (SELECT count(*) FROM messages m WHERE m.session_id = s.id) AS messages
FROM sessions s WHERE s.id = ANY(@ids::uuid[]);

-- name: ListExisting :many
-- @cache existing(ids)
SELECT id FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: AddMessage :exec
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: DeleteSessions :exec
DELETE FROM sessions WHERE id = ANY(@ids::uuid[]) AND user_id = @user_id::uuid;

-- name: DeleteListed :exec
DELETE FROM messages WHERE session_id = ANY(@session_ids::uuid[]) AND id = ANY(@ids::bigint[]);

-- name: ListTitled :many
-- ListTitled keeps its results apart by the other parameter.
-- @cache session(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]) AND title = @title;

-- name: ListOwned :many
-- ListOwned has a key of two parts, one of them a list.
-- @cache owned(user_id, ids)
SELECT * FROM sessions WHERE user_id = @user_id::uuid AND id = ANY(@ids::uuid[]);
