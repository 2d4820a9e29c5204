-- name: GetUser :one
-- @cache user(id)
SELECT * FROM app.users WHERE id = $1;

-- name: GetUserBySlug :one
-- @cache user_slug(slug)
SELECT id, home, roles, former_role FROM app.users WHERE slug = $1;

-- name: ListByRole :many
-- @cache by_role(role)
SELECT id, slug FROM app.users WHERE role = $1 ORDER BY slug;

-- name: ListByFormerRole :many
-- @cache by_former_role(former_role)
SELECT id, slug FROM app.users WHERE former_role = $1 ORDER BY slug;

-- name: FilterByRoles :many
-- @cache by_slug(slug)
SELECT id FROM app.users
WHERE slug = @slug AND role = ANY(@roles::app.role[]) AND tags && @tags::text[]
    AND (sqlc.narg('former')::app.role IS NULL OR former_role = sqlc.narg('former'));

-- name: GetPlan :one
-- @cache plan(user_id)
SELECT * FROM billing.users WHERE user_id = $1 LIMIT 1;

-- name: GetBoth :one
-- @cache user(id)
SELECT sqlc.embed(u), sqlc.embed(b) FROM app.users u JOIN billing.users b ON b.user_id = u.id WHERE u.id = $1 LIMIT 1;

-- name: GetEvent :one
-- @cache event(key)
SELECT * FROM events WHERE key = $1;

-- name: ListEvents :many
-- @cache events_of(day, done, role)
SELECT key, at FROM public.events WHERE day = $1 AND done = $2 AND role = $3 ORDER BY at;

-- name: ListEventsAt :many
-- @cache events_at(at)
SELECT key FROM events WHERE at = $1;

-- name: CreateUser :one
INSERT INTO app.users (slug, role, tags, period) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: SetTags :one
UPDATE app.users SET tags = $2, scores = $3, wait = $4, ratio = $5 WHERE id = $1 RETURNING slug, role, former_role;

-- name: SetPlan :many
UPDATE billing.users SET plan = $1 WHERE id = $2 RETURNING user_id;

-- name: DeleteUser :one
DELETE FROM app.users WHERE id = $1 RETURNING slug, role, former_role;

-- name: AddEvents :copyfrom
INSERT INTO events (key, day, at, done, role) VALUES ($1, $2, $3, $4, $5);

-- name: DropEvents :exec
DELETE FROM events WHERE key = $1 AND day = $2 AND at = $3 AND done = $4 AND role = $5;

-- name: Promote :many
-- Promote tells both values of a key that may be NULL.
UPDATE app.users SET former_role = 'member' WHERE former_role = 'admin' RETURNING id, slug, role;
