-- name: GetSession :one
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: GetCalmed :one
-- @cache session(id)
SELECT calmed(1) AS n, title FROM sessions WHERE id = $1;

-- name: GetTurned :one
-- @cache session(id)
SELECT turned(1) AS n, title FROM sessions WHERE id = $1;

-- name: Archive :exec
CALL archive($1);

-- name: Archived :one
SELECT archived($1);

-- name: ArchivedFrom :many
SELECT a::uuid AS id FROM archived($1) AS a;

-- name: Either :one
SELECT either($1::text);

-- name: ReadsCleaned :many
SELECT gone FROM cleaned;
