-- name: ListLimits :many
-- @cache account_limits(account_id)
SELECT period, amount FROM account_limits WHERE account_id = $1 ORDER BY period;

-- name: GetAccount :one
-- @cache account(id)
SELECT * FROM accounts WHERE id = $1;

-- name: SetLimit :exec
INSERT INTO account_limits (account_id, period, amount) VALUES ($1, $2, $3)
ON CONFLICT (account_id, period) DO UPDATE SET amount = excluded.amount;

-- name: DropLimits :exec
DELETE FROM account_limits WHERE account_id = $1;

-- name: DeleteAccount :exec
DELETE FROM accounts WHERE id = $1;
