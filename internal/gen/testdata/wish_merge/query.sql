-- name: ListLimits :many
-- @cache account_limits(account_id)
SELECT period, amount FROM account_limits WHERE account_id = $1 ORDER BY period;

-- name: ListChanges :many
-- @cache limit_changes(id)
SELECT * FROM limit_changes WHERE id = $1;

-- name: MergeLimits :exec
-- MergeLimits changes and inserts rows of one account, and deletes none: no cascade.
MERGE INTO account_limits l
USING (SELECT unnest(@periods::text[]) AS period, unnest(@amounts::bigint[]) AS amount) n
ON l.account_id = @account_id AND l.period = n.period
WHEN MATCHED THEN UPDATE SET amount = n.amount
WHEN NOT MATCHED THEN INSERT (account_id, period, amount) VALUES (@account_id, n.period, n.amount);
