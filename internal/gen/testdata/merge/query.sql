-- name: GetStock :one
-- @cache stock(sku)
SELECT * FROM stock WHERE sku = $1;

-- name: ListLots :many
-- @cache lot(sku)
SELECT * FROM lots WHERE sku = $1 ORDER BY id;

-- name: GetStaged :one
-- @cache staged(sku)
SELECT * FROM staging WHERE sku = $1;

-- name: ClearStaging :exec
-- ClearStaging voids the group of the table.
TRUNCATE staging;

-- name: ClearStock :exec
-- ClearStock voids the groups of all tables that it empties.
TRUNCATE stock CASCADE;

-- name: Restock :exec
-- Restock changes rows that only the database knows: all of the group is voided.
-- @invalidates stock(*)
UPDATE stock SET quantity = stock.quantity + staging.quantity FROM staging WHERE staging.sku = stock.sku;
