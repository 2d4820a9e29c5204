-- name: ShopTotal :one
-- @cache shop_total(shop_id)
SELECT coalesce(sum(total), 0)::bigint FROM items WHERE shop_id = $1;

-- name: GetItem :one
-- @cache item(id)
SELECT * FROM items WHERE id = $1;

-- name: HasItem :one
-- @cache has_item(id)
SELECT EXISTS (SELECT 1 FROM items WHERE id = $1);

-- name: WholeItem :one
-- @cache whole_item(id)
SELECT to_jsonb(i)::jsonb FROM items i WHERE id = $1;

-- name: SetNote :exec
-- SetNote changes no total.
UPDATE items SET note = $2 WHERE id = $1;

-- name: SetPrice :one
-- SetPrice changes a total by the generated column.
UPDATE items SET price = $2 WHERE id = $1 RETURNING shop_id;
