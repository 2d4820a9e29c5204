-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: GetTail :one
-- @cache tail(id)
SELECT * FROM tails WHERE id = $1;

-- name: GetBelow :one
-- @cache below(id)
SELECT * FROM below_guarded WHERE id = $1;

-- name: DeleteUsersWithoutSession :exec
-- DeleteUsersWithoutSession has a condition that other rows decide: those that a lookup locks may not be those that it deletes.
DELETE FROM users WHERE NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = users.id);

-- name: DeleteUsersOfOthers :exec
DELETE FROM users USING sessions WHERE sessions.user_id = users.id AND sessions.id = $1;

-- name: DeleteUserInside :many
-- DeleteUserInside doesn't stand outermost.
WITH gone AS (DELETE FROM users WHERE id = $1 RETURNING id) SELECT id FROM gone;

-- name: DeleteRandomUsers :exec
DELETE FROM users WHERE random() < 0.5;

-- name: DeleteHead :exec
-- DeleteHead goes round in a circle of foreign keys.
DELETE FROM heads WHERE id = $1;

-- name: DeleteGuarded :exec
-- DeleteGuarded may leave rows that its trigger keeps: how many it deletes says nothing.
DELETE FROM guarded WHERE id = $1;
