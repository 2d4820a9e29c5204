-- name: GetItem :one
-- GetItem returns one row.
-- @cache item(id) ttl=1h
SELECT * FROM items WHERE id = $1;

-- name: ListItems :many
-- ListItems returns those of the given rows that exist, in no order.
-- @cache item(ids)
SELECT * FROM items WHERE id = ANY(@ids::uuid[]);

-- name: RenameItem :exec
-- RenameItem gives a row another title.
UPDATE items SET title = $2, updated_at = now() WHERE id = $1;

-- name: GetCard :one
-- GetCard returns a row without metadata, from the memory of the process if it is there.
-- @cache card(id) ttl=1h near=1h
SELECT * FROM cards WHERE id = $1;
