-- name: GetAccount :one
-- @cache account(id)
SELECT * FROM accounts WHERE id = $1;

-- name: ListFriends :many
-- ListFriends shows a row to both of its users.
-- @cache friends(user_id)
SELECT * FROM friendships WHERE user_a = @user_id OR user_b = @user_id;

-- name: MoveMoney :exec
UPDATE accounts
SET balance = balance + CASE WHEN id = @to_id THEN @amount::bigint ELSE -@amount::bigint END
WHERE id IN (@from_id, @to_id);

-- name: ResetBoth :exec
UPDATE accounts SET balance = 0 WHERE id = @a OR id = @b;

-- name: Befriend :exec
INSERT INTO friendships (user_a, user_b, since) VALUES ($1, $2, $3);

-- name: Unfriend :exec
DELETE FROM friendships WHERE user_a = $1 AND user_b = $2;
