-- name: GetCustomer :one
-- @cache customer(id)
SELECT * FROM customers WHERE id = $1 AND deleted_at IS NULL;

-- name: GetCustomerByEmail :one
-- @cache customer_email(email)
SELECT id, name FROM customers WHERE email = $1 AND deleted_at IS NULL;

-- name: CustomerVersion :one
-- CustomerVersion reads nothing but what the trigger sets.
-- @cache customer_version(id)
SELECT updated_at FROM customers WHERE id = $1;

-- name: GetUser :one
-- @cache user(id)
SELECT * FROM users WHERE id = $1;

-- name: GetUserByHandle :one
-- @cache user_handle(handle)
SELECT id, display_name FROM users WHERE handle = $1;

-- name: UpdateCustomer :one
UPDATE customers
SET name = coalesce(sqlc.narg('name'), name), preferences = coalesce(sqlc.narg('preferences'), preferences)
WHERE id = @id AND deleted_at IS NULL
RETURNING *;

-- name: ChangeEmail :one
UPDATE customers SET email = @email WHERE id = @id AND email = @old_email RETURNING *;

-- name: DeleteCustomer :one
UPDATE customers SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL RETURNING id, email;

-- name: RenameUser :exec
UPDATE users SET display_name = $2 WHERE id = $1 AND handle = $3;

-- name: TouchSeen :exec
UPDATE users SET last_seen_at = now() WHERE id = $1;

-- name: CreateUser :one
INSERT INTO users (handle, display_name) VALUES ($1, $2)
ON CONFLICT (handle) DO UPDATE SET display_name = excluded.display_name
RETURNING *;
