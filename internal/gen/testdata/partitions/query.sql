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

-- name: ListLinksOf :many
-- @cache event_link(id)
SELECT * FROM links WHERE id = $1 ORDER BY id;

-- name: GetEvents :many
-- @cache event(id)
SELECT * FROM events WHERE id = $1 ORDER BY at;

-- name: AddToPartition :exec
-- AddToPartition adds a row that GetEvents reads through the partitioned table.
INSERT INTO events_1 (id, at) VALUES ($1, $2);
