-- name: ListSessionsByIDs :many
-- @cache session(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::bigint[]);

-- name: DeleteSession :execrows
DELETE FROM sessions WHERE id = $1;
