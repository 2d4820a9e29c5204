-- name: GetHolder :one
-- @cache holder(id)
SELECT * FROM holders WHERE id = $1;

-- name: GetHolderByExternalID :one
-- @cache holder_external(external_id)
SELECT * FROM holders WHERE external_id = $1;

-- name: GetHolderByTaxID :one
-- @cache holder_tax(tax_id)
SELECT id, legal_name FROM holders WHERE tax_id = $1;

-- name: GetAccount :one
-- @cache account(id) mode=strict
SELECT * FROM accounts WHERE id = $1;

-- name: GetAccountForUpdate :one
SELECT * FROM accounts WHERE id = $1 FOR UPDATE;

-- name: LockAccounts :many
SELECT id, balance, available FROM accounts WHERE id = ANY(@ids::bigint[]) ORDER BY id FOR UPDATE;

-- name: GetAccountByNumber :one
-- @cache account_number(number)
SELECT * FROM open_accounts WHERE number = $1;

-- name: GetBalances :many
-- @cache account(ids)
SELECT id, balance, available FROM accounts WHERE id = ANY(@ids::bigint[]);

-- name: ListAccounts :many
-- @cache holder_accounts(holder_id)
SELECT a.id, a.number, a.kind, a.balance, a.currency
FROM open_accounts a
WHERE a.holder_id = $1 AND (sqlc.narg('kind')::account_kind IS NULL OR a.kind = sqlc.narg('kind'))
ORDER BY a.number;

-- name: HolderBalances :many
-- @cache holder_accounts(holder_id)
SELECT currency, balance, accounts FROM holder_balances WHERE holder_id = $1 ORDER BY currency;

-- name: GetAccountWithHolder :one
-- @cache account_holder(id)
-- @stale-ok holders
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

-- name: GetTransferByKey :one
-- @cache transfer_key(idempotency_key) ttl=24h negative=off
SELECT * FROM transfers WHERE idempotency_key = $1;

-- name: ListOutgoing :many
-- @cache outgoing(from_account_id)
SELECT id, to_account_id, amount, state, created_at
FROM transfers
WHERE from_account_id = @from_account_id AND (created_at, id) < (@before_time::timestamptz, @before_id::uuid)
ORDER BY created_at DESC, id DESC
LIMIT @page_size;

-- name: ListTransfers :many
-- ListTransfers shows both directions.
-- @cache account_transfers(account_id)
SELECT o.id, o.amount, o.created_at FROM transfers o WHERE o.from_account_id = @account_id
UNION ALL
SELECT i.id, -i.amount, i.created_at FROM transfers i WHERE i.to_account_id = @account_id
ORDER BY created_at DESC;

-- name: ListPostings :many
-- @cache postings(account_id)
SELECT id, amount, posted_at, sum(amount) OVER (ORDER BY id)::bigint AS running
FROM postings
WHERE account_id = $1
ORDER BY id;

-- name: SumPostings :one
-- @cache postings(account_id)
SELECT coalesce(sum(amount), 0)::bigint AS total, count(*) AS n FROM postings WHERE account_id = $1;

-- name: ActiveHolds :many
-- @cache holds(account_id)
SELECT id, amount, reason, expires_at FROM holds WHERE account_id = $1 AND released_at IS NULL;

-- name: CurrentRate :one
-- @cache rate(base, quote) ttl=1m
SELECT rate FROM exchange_rates WHERE base = @base AND quote = @quote AND valid_from <= @at ORDER BY valid_from DESC LIMIT 1;

-- name: GetStatement :one
-- @cache statement(account_id, month)
SELECT * FROM statements WHERE account_id = $1 AND month = $2;

-- name: TrialBalance :many
SELECT kind, currency, sum(balance)::bigint AS total FROM accounts GROUP BY kind, currency ORDER BY kind;

-- name: CreateHolder :one
INSERT INTO holders (legal_name, tax_id) VALUES ($1, $2) RETURNING *;

-- name: FreezeHolder :one
UPDATE holders SET frozen_at = now() WHERE id = $1 AND frozen_at IS NULL RETURNING *;

-- name: OpenAccount :one
INSERT INTO accounts (holder_id, number, kind, currency) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: CloseAccount :one
UPDATE accounts SET closed_at = now() WHERE id = $1 AND balance = 0 AND held = 0 RETURNING *;

-- name: SetOverdraft :one
UPDATE accounts SET overdraft = @overdraft, version = version + 1 WHERE id = @id AND version = @version RETURNING *;

-- name: Debit :one
UPDATE accounts SET balance = balance - @amount WHERE id = @id AND available >= @amount RETURNING *;

-- name: MoveMoney :many
-- MoveMoney changes both sides in one statement.
UPDATE accounts
SET balance = balance + CASE WHEN id = @to_id THEN @amount::bigint ELSE -@amount::bigint END
WHERE id IN (@from_id, @to_id)
RETURNING id, holder_id, number;

-- name: CreateTransfer :one
INSERT INTO transfers (from_account_id, to_account_id, amount, currency, idempotency_key, memo, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING *;

-- name: PostTransfer :one
UPDATE transfers SET state = 'posted' WHERE id = $1 AND state = 'pending' RETURNING *;

-- name: ReverseTransfers :many
UPDATE transfers SET state = 'reversed' WHERE id = ANY(@ids::uuid[]) AND state = 'posted' RETURNING *;

-- name: ReleaseHold :one
UPDATE holds SET released_at = now() WHERE id = $1 AND released_at IS NULL RETURNING *;

-- name: AddRate :exec
INSERT INTO exchange_rates (base, quote, rate, valid_from) VALUES ($1, $2, $3, $4);

-- name: WriteStatement :exec
INSERT INTO statements (account_id, month, opening, closing)
SELECT @account_id, @month, a.balance - coalesce(sum(p.amount), 0), a.balance
FROM accounts a
LEFT JOIN postings p ON p.account_id = a.id AND p.posted_at >= @month
WHERE a.id = @account_id
GROUP BY a.id
ON CONFLICT (account_id, month) DO NOTHING;

-- name: AttachDocument :execrows
UPDATE statements SET document = $3 WHERE account_id = $1 AND month = $2;

-- name: LoadBankLines :copyfrom
INSERT INTO bank_lines (account_number, amount, reference) VALUES ($1, $2, $3);

-- name: ClearBankLines :exec
TRUNCATE bank_lines;

-- name: WriteAudit :exec
INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, $2, $3, $4);

-- name: CloseEmptyAccounts :many
UPDATE accounts SET closed_at = now() WHERE holder_id = $1 AND balance = 0 AND held = 0 RETURNING id, number;

-- name: SetTaxID :one
-- SetTaxID is for holders who had none: no entry of holder_tax can have shown them.
-- @invalidates holder_tax(tax_id)
UPDATE holders SET tax_id = @tax_id::text WHERE id = @id AND tax_id IS NULL RETURNING *;

-- name: HoldAmount :one
UPDATE accounts SET held = held + @amount WHERE id = @id AND available >= @amount RETURNING *;

-- name: PlaceHold :one
INSERT INTO holds (account_id, amount, reason, expires_at) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: ReleaseExpired :many
UPDATE holds SET released_at = now() WHERE released_at IS NULL AND expires_at < now() RETURNING account_id, amount;
