-- name: ListSessions :many
-- @cache session_list(user_id)
SELECT * FROM sessions WHERE user_id = $1 ORDER BY title;

-- name: GiveSession :one
UPDATE sessions SET user_id = @to_user WHERE id = @id AND user_id = @from_user RETURNING *;

-- name: GiveAll :exec
UPDATE sessions SET user_id = @to_user WHERE user_id = @from_user;

-- name: GiveMany :many
UPDATE sessions SET (user_id, title) = ($1, $2) WHERE user_id = ANY($3::uuid[]) RETURNING id;

-- name: Touch :exec
-- Touch sets the key column to itself.
UPDATE sessions SET user_id = user_id, seen = $2 WHERE user_id = $1;
