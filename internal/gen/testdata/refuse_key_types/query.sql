-- name: Citext :many
-- @cache c(c)
SELECT * FROM a WHERE c = $1;

-- name: Char :many
-- @cache p(p)
SELECT * FROM a WHERE p = $1;

-- name: Numeric :many
-- @cache n(n)
SELECT * FROM a WHERE n = $1;

-- name: Collation :many
-- @cache t(t)
SELECT * FROM a WHERE t = $1;

-- name: JSON :many
-- @cache j(j)
SELECT * FROM a WHERE j = $1;

-- name: Interval :many
-- @cache i(i)
SELECT * FROM a WHERE i = $1;

-- name: Date :many
-- @cache d(d)
SELECT * FROM a WHERE d = $1;

-- name: Fine :many
-- @cache fine(v, z, b)
SELECT * FROM a WHERE v = $1 AND z = $2 AND b = $3;
