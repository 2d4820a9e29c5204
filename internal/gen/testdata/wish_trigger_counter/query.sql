-- name: GetChannel :one
-- @cache channel(id)
SELECT * FROM channels WHERE id = $1;

-- name: ListMessages :many
-- @cache channel_messages(channel_id)
SELECT * FROM messages WHERE channel_id = $1 ORDER BY id;

-- name: GetOrder :one
-- @cache order(id)
SELECT * FROM orders WHERE id = $1;

-- name: PostMessage :one
INSERT INTO messages (channel_id, body) VALUES ($1, $2) RETURNING *;

-- name: ImportMessages :copyfrom
INSERT INTO messages (channel_id, body) VALUES ($1, $2);

-- name: DeleteMessage :one
DELETE FROM messages WHERE id = $1 RETURNING id, channel_id;

-- name: AddItem :exec
INSERT INTO order_items (order_id, product_id, quantity, price_cents) VALUES ($1, $2, $3, $4);

-- name: SetQuantity :exec
UPDATE order_items SET quantity = $3 WHERE order_id = $1 AND product_id = $2;
