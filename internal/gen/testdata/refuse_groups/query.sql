-- name: ByID :one
-- @cache g(id) ttl=1m mode=strict negative=off near=1s
SELECT * FROM a WHERE id = $1;

-- name: OtherType :many
-- @cache g(t)
SELECT * FROM a WHERE t = $1;

-- name: OtherArity :many
-- @cache g(id, n)
SELECT * FROM a WHERE id = $1 AND n = $2;

-- name: OtherOptions :one
-- @cache g(id) ttl=2m mode=fenced negative=on
SELECT t FROM a WHERE id = $1;

-- name: SameGoName1 :one
-- @cache some_name(id)
SELECT t FROM a WHERE id = $1;

-- name: FloatKey :many
-- @cache f(w)
SELECT * FROM a WHERE w = $1;
