-- name: Type :one
-- @cache type(type)
SELECT * FROM items WHERE type = $1 LIMIT 1;

-- name: Range :many
-- @cache range(range)
SELECT id FROM items WHERE "range" = $1;

-- name: Func :many
-- @cache func(func)
SELECT * FROM items WHERE "func" = $1;

-- name: String :one
-- @cache string(string)
SELECT count(*) FROM items WHERE string = $1;

-- name: Error :one
-- @cache error(error)
SELECT count(*) FROM items WHERE error = $1;

-- name: Append :one
-- Append has parameters that hide what Go predeclares.
-- @cache append(len)
SELECT count(*) FROM items WHERE len = $1 AND nil = $2 AND error = $3 AND string = $4 AND "range" = @append;

-- name: UUID :many
-- @cache uuid(uuid)
SELECT * FROM items WHERE uuid = $1;

-- name: Time :many
-- @cache time(time)
SELECT id FROM items WHERE time = $1 AND string = $2;

-- name: Context :one
-- @cache context(context)
SELECT id FROM items WHERE id = @context AND string = @pool AND "func" = @fmt AND len = @wantArgs AND "range" = @keyList;

-- name: Pgx :one
-- @cache pgx(pgx)
SELECT time FROM items WHERE id = @pgx AND len = @cache AND "range" = @db AND string = @statements AND error = @arg;

-- name: Pgfence :many
-- @cache pgfence(cached)
SELECT id FROM items WHERE id = @cached AND string = @want AND error = @repo AND len = @key AND "range" = @pgfence;

-- name: GetKey :one
-- @cache key(key)
SELECT * FROM keys WHERE key = $1;

-- name: Statements :one
-- @cache statements(key)
SELECT value FROM keys WHERE key = @key;

-- name: KeyList :many
-- @cache key_list(keys)
SELECT * FROM keys WHERE key = ANY(@keys::text[]);

-- name: OneQuery :one
-- @cache query(id)
SELECT * FROM queries WHERE id = $1;

-- name: NewQueries :one
-- @cache new(id)
SELECT text FROM queries WHERE id = $1;

-- name: Read :exec
UPDATE keys SET value = @key WHERE key = @rows;

-- name: Write :one
UPDATE keys SET value = @rows WHERE key = @keys RETURNING *;

-- name: Exec2 :many
DELETE FROM queries WHERE text = @row RETURNING id, text;

-- name: Exec :many
DELETE FROM keys WHERE value = @none RETURNING key AS rows, value AS row;

-- name: Commit :execrows
DELETE FROM queries WHERE id = @n;

-- name: Rollback :execresult
UPDATE queries SET text = @error WHERE id = @tag;

-- name: CopyFrom :copyfrom
INSERT INTO keys (key, value) VALUES ($1, $2);

-- name: Missing :many
INSERT INTO keys (key, value) SELECT unnest(@k::text[]), @k2 RETURNING key AS k3;

-- name: DropKeys :exec
DELETE FROM keys WHERE key = ANY(@list1::text[]);

-- name: SetMixed :many
UPDATE items SET "Mixed Case" = @mixed_case WHERE "order" = @order_ RETURNING *;
