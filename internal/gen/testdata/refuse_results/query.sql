-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessions :many
-- @cache sessions(user_id)
SELECT * FROM sessions WHERE user_id = $1 ORDER BY id;

-- name: GetCode :one
-- @cache code(code)
SELECT * FROM codes WHERE code = $1;

-- name: LastOfTenant :one
-- @cache tenant(tenant) negative=off
SELECT * FROM tenants WHERE tenant = $1 ORDER BY id DESC LIMIT 1;

-- name: InsertSet :one
-- InsertSet inserts a row for each id, and returns one of them.
INSERT INTO sessions (id, user_id, title) SELECT unnest(@ids::int[]), 1, 'new' RETURNING id, user_id;

-- name: InsertOverridden :exec
-- InsertOverridden inserts the sequence's value, whatever it is given.
INSERT INTO sessions (id, user_id, title) OVERRIDING USER VALUE VALUES ($1, $2, $3);

-- name: UpsertCut :one
-- UpsertCut sets the code to a label that may lose its trailing blanks.
INSERT INTO codes (id, label, code) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET code = excluded.label RETURNING id;

-- name: AddToTenant :exec
-- AddToTenant takes its key from a default that another row may have had.
INSERT INTO tenants (id, title) VALUES ($1, $2);
