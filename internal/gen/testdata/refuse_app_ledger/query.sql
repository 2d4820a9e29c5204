-- name: GetHolder :one
-- @cache holder(id)
SELECT * FROM holders WHERE id = $1;

-- name: GetHolderByTaxID :one
-- @cache holder_tax(tax_id)
SELECT id, legal_name FROM holders WHERE tax_id = $1;

-- name: GetAccount :one
-- @cache account(id) mode=strict
SELECT * FROM accounts WHERE id = $1;

-- name: GetAccountByNumber :one
-- @cache account_number(number)
SELECT * FROM open_accounts WHERE number = $1;

-- name: ListAccounts :many
-- @cache holder_accounts(holder_id)
SELECT a.id, a.number, a.kind, a.balance, a.currency
FROM open_accounts a
WHERE a.holder_id = $1 AND (sqlc.narg('kind')::account_kind IS NULL OR a.kind = sqlc.narg('kind'))
ORDER BY a.number;

-- name: GetAccountWithHolder :one
-- @cache account_holder(id)
SELECT sqlc.embed(a), sqlc.embed(h)
FROM accounts a
JOIN holders h ON h.id = a.holder_id
WHERE a.id = $1;

-- name: ListLimits :many
-- @cache account_limits(account_id)
SELECT period, amount FROM account_limits WHERE account_id = $1 ORDER BY period;

-- name: GetTransfer :one
-- @cache transfer(id)
SELECT * FROM transfers WHERE id = $1;

-- name: ListOutgoing :many
-- @cache outgoing(from_account_id)
SELECT id, to_account_id, amount, state, created_at
FROM transfers
WHERE from_account_id = @from_account_id AND (created_at, id) < (@before_time::timestamptz, @before_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListTransfersEitherWay :many
-- @cache account_transfers(account_id)
SELECT * FROM transfers
WHERE from_account_id = @account_id OR to_account_id = @account_id
ORDER BY created_at DESC
LIMIT 20;

-- name: ListPostings :many
-- @cache postings(account_id)
SELECT id, amount, posted_at, sum(amount) OVER (ORDER BY id)::bigint AS running
FROM postings
WHERE account_id = $1
ORDER BY id;

-- name: ActiveHolds :many
-- @cache holds(account_id)
SELECT id, amount, reason, expires_at FROM holds WHERE account_id = $1 AND released_at IS NULL;

-- name: GetStatement :one
-- @cache statement(account_id, month)
SELECT * FROM statements WHERE account_id = $1 AND month = $2;

-- name: UsableBalance :one
-- @cache account(id)
SELECT a.balance - coalesce(sum(h.amount), 0)::bigint AS usable
FROM accounts a
LEFT JOIN holds h ON h.account_id = a.id AND h.released_at IS NULL AND h.expires_at > now()
WHERE a.id = $1
GROUP BY a.id;

-- name: AccountForUpdate :one
-- @cache account(id)
SELECT * FROM accounts WHERE id = $1 FOR UPDATE;

-- name: RateAt :one
-- @cache rate_value(rate)
SELECT base, quote FROM exchange_rates WHERE rate = $1 ORDER BY valid_from DESC LIMIT 1;

-- name: WhoAmI :one
-- @cache holder(id)
SELECT legal_name, current_user::text AS session FROM holders WHERE id = $1;

-- name: CreateHolder :one
INSERT INTO holders (legal_name, tax_id) VALUES ($1, $2) RETURNING *;

-- name: OpenAccount :one
INSERT INTO accounts (holder_id, number, kind, currency) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: CloseAccount :one
UPDATE accounts SET closed_at = now() WHERE id = $1 AND balance = 0 AND held = 0 RETURNING *;

-- name: SetOverdraft :one
UPDATE accounts SET overdraft = @overdraft, version = version + 1 WHERE id = @id AND version = @version RETURNING *;

-- name: MoveMoney :many
-- MoveMoney changes both sides in one statement.
UPDATE accounts
SET balance = balance + CASE WHEN id = @to_id THEN @amount::bigint ELSE -@amount::bigint END
WHERE id IN (@from_id, @to_id)
RETURNING id, holder_id, number;

-- name: PostTransfer :one
UPDATE transfers SET state = 'posted' WHERE id = $1 AND state = 'pending' RETURNING *;

-- name: ReleaseHold :one
UPDATE holds SET released_at = now() WHERE id = $1 AND released_at IS NULL RETURNING *;

-- name: AttachDocument :execrows
UPDATE statements SET document = $3 WHERE account_id = $1 AND month = $2;

-- name: CloseEmptyAccounts :execrows
UPDATE accounts SET closed_at = now() WHERE holder_id = $1 AND balance = 0;

-- name: MoveMoneyByCTE :one
WITH debit AS (
    UPDATE accounts f SET balance = f.balance - @amount WHERE f.id = @from_id AND f.available >= @amount RETURNING f.*
), credit AS (
    UPDATE accounts a SET balance = a.balance + @amount FROM debit d WHERE a.id = @to_id RETURNING a.*
)
SELECT d.holder_id AS from_holder_id, d.number AS from_number, c.holder_id AS to_holder_id, c.number AS to_number
FROM debit d, credit c;

-- name: ReleaseExpired :many
WITH released AS (
    UPDATE holds SET released_at = now() WHERE released_at IS NULL AND expires_at < now() RETURNING account_id, amount
), totals AS (
    SELECT account_id, sum(amount)::bigint AS amount FROM released GROUP BY account_id
)
UPDATE accounts a SET held = a.held - t.amount
FROM totals t
WHERE a.id = t.account_id
RETURNING a.id, a.holder_id, a.number;

-- name: AddPosting :one
INSERT INTO postings (account_id, transfer_id, amount) VALUES ($1, $2, $3) RETURNING id;

-- name: ChangeTaxID :one
UPDATE holders SET tax_id = @tax_id WHERE id = @id RETURNING *;

-- name: ChargeFees :execrows
UPDATE accounts SET balance = balance - @fee WHERE kind = 'asset' AND closed_at IS NULL;
