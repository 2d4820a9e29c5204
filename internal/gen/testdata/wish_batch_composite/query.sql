-- name: GetAccount :one
-- @cache account(tenant_id, id)
SELECT * FROM accounts WHERE tenant_id = $1 AND id = $2;

-- name: ListAccounts :many
-- ListAccounts is a batch within one tenant.
-- @cache account(tenant_id, ids)
SELECT * FROM accounts WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[]);

-- name: RenameAccount :exec
UPDATE accounts SET name = $3 WHERE tenant_id = $1 AND id = $2;
