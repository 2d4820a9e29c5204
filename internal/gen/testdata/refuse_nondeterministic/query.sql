-- name: Now :one
-- @cache s(id)
SELECT id, now() AS at FROM sessions WHERE id = $1;

-- name: InFilter :one
-- @cache s(id)
SELECT id FROM sessions WHERE id = $1 AND seen > clock_timestamp();

-- name: CurrentTimestamp :one
-- @cache s(id)
SELECT id, current_timestamp AS at FROM sessions WHERE id = $1;

-- name: CurrentDate :one
-- @cache s(id)
SELECT id FROM sessions WHERE id = $1 AND seen::date = current_date;

-- name: Today :one
-- @cache s(id)
SELECT id FROM sessions WHERE id = $1 AND seen > 'today'::timestamptz;

-- name: Random :many
-- @cache s(id)
SELECT id FROM sessions WHERE id = $1 ORDER BY random();

-- name: NewUUID :one
-- @cache s(id)
SELECT gen_random_uuid()::uuid AS fresh FROM sessions WHERE id = $1;

-- name: NextVal :one
-- @cache s(id)
SELECT nextval('counter') FROM sessions WHERE id = $1;

-- name: Locks :one
-- @cache s(id)
SELECT id FROM sessions WHERE id = $1 FOR UPDATE;

-- name: Shares :one
-- @cache s(id)
SELECT id FROM sessions WHERE id = $1 FOR SHARE;

-- name: Sample :many
-- @cache s(id)
SELECT id FROM sessions TABLESAMPLE system (10) WHERE id = $1;

-- name: Volatile :one
-- @cache s(id)
SELECT guess(1) FROM sessions WHERE id = $1;

-- name: Stable :one
-- @cache s(id)
SELECT looked_up(1) FROM sessions WHERE id = $1;

-- name: Immutable :one
-- @cache s(id)
SELECT twice(1) FROM sessions WHERE id = $1;

-- name: Unknown :one
-- @cache s(id)
SELECT pg_relation_size('sessions') FROM sessions WHERE id = $1;

-- name: InView :one
-- @cache s(id)
SELECT id FROM recent WHERE id = $1;

-- name: AnyThree :many
-- @cache s(id)
SELECT title FROM sessions WHERE id = $1 LIMIT 3;
