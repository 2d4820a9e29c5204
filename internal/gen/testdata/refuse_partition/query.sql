-- name: GetLinks :many
-- @cache link(label)
SELECT * FROM links WHERE label = $1 ORDER BY id;

-- name: GetOther :one
-- @cache other(id)
SELECT * FROM others WHERE id = $1;

-- name: DeleteFromPartition :exec
DELETE FROM events_1 WHERE id = $1;

-- name: DeleteAnimal :exec
-- DeleteAnimal fires the trigger of cats.
DELETE FROM animals WHERE id = $1;
