-- name: GetCustomer :one
-- GetCustomer returns a customer who has not left.
-- @cache customer(id) ttl=30m
SELECT * FROM customers WHERE id = $1 AND deleted_at IS NULL;

-- name: GetCustomerByEmail :one
-- @cache customer_email(email) ttl=10m
SELECT * FROM customers WHERE email = $1 AND deleted_at IS NULL;

-- name: ListAddresses :many
-- @cache customer_addresses(customer_id)
SELECT * FROM addresses WHERE customer_id = $1 ORDER BY is_default DESC, id;

-- name: ListProductsByCategory :many
-- @cache category_products(category_id) ttl=5m
SELECT id, slug, title, final_cents, tags
FROM products
WHERE category_id = $1 AND published
ORDER BY created_at DESC, id
LIMIT $2 OFFSET $3;

-- name: GetProduct :one
-- @cache product(id) ttl=15m
SELECT * FROM products WHERE id = $1;

-- name: GetProductBySlug :one
-- @cache product_slug(slug) ttl=15m
SELECT * FROM products WHERE slug = $1 AND published;

-- name: GetCart :many
-- @cache cart(customer_id) ttl=1h
SELECT i.product_id, i.quantity, p.title, p.final_cents
FROM cart_items i
JOIN products p ON p.id = i.product_id
WHERE i.customer_id = $1
ORDER BY i.added_at;

-- name: CountCart :one
-- @cache cart(customer_id)
SELECT coalesce(sum(quantity), 0)::bigint FROM cart_items WHERE customer_id = $1;

-- name: GetOrder :one
-- @cache order(id)
SELECT * FROM orders WHERE id = $1;

-- name: ListOrders :many
-- @cache customer_orders(customer_id)
SELECT id, number, status, total_cents, placed_at
FROM orders
WHERE customer_id = $1 AND (sqlc.narg('status')::order_status IS NULL OR status = sqlc.narg('status'))
ORDER BY placed_at DESC
LIMIT $2;

-- name: HasPurchased :one
-- @cache purchased(customer_id, product_id)
SELECT EXISTS (
    SELECT 1
    FROM orders o
    JOIN order_items i ON i.order_id = o.id
    WHERE o.customer_id = @customer_id AND i.product_id = @product_id AND o.status <> 'cancelled'
);

-- name: GetStock :one
-- @cache stock(product_id) ttl=10s
SELECT available FROM stock WHERE product_id = $1;

-- name: FindCustomer :one
-- @cache customer_email(email)
SELECT * FROM customers WHERE lower(email) = lower(@email) AND deleted_at IS NULL;

-- name: RecentOrders :many
-- @cache customer_orders(customer_id)
SELECT id, number, status FROM orders WHERE customer_id = $1 AND placed_at > now() - interval '90 days';

-- name: FeaturedProducts :many
-- @cache category_products(category_id)
SELECT id, slug, title FROM products WHERE category_id = $1 AND published ORDER BY random() LIMIT 4;

-- name: SimilarProducts :many
-- @cache similar(id)
SELECT p.id, p.slug, p.title
FROM products p
WHERE p.tags && (SELECT s.tags FROM products s WHERE s.id = @id) AND p.id <> @id
LIMIT 6;

-- name: CategoryTree :many
-- @cache category_tree(id)
WITH RECURSIVE tree AS (
    SELECT c.id, c.parent_id, c.title, 0 AS depth FROM categories c WHERE c.id = @id
    UNION ALL
    SELECT c.id, c.parent_id, c.title, t.depth + 1 FROM categories c JOIN tree t ON c.parent_id = t.id
)
SELECT tree.id, tree.title, tree.depth FROM tree ORDER BY tree.depth;

-- name: CreateCustomer :one
INSERT INTO customers (email, name, preferences) VALUES ($1, $2, $3) RETURNING *;

-- name: AddAddress :one
INSERT INTO addresses (customer_id, label, street, city, country, is_default)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *;

-- name: DeleteAddress :execrows
DELETE FROM addresses WHERE id = $1 AND customer_id = $2;

-- name: PutInCart :one
INSERT INTO cart_items (customer_id, product_id, quantity)
VALUES ($1, $2, $3)
ON CONFLICT (customer_id, product_id) DO UPDATE SET quantity = cart_items.quantity + excluded.quantity
RETURNING *;

-- name: EmptyCart :execrows
DELETE FROM cart_items WHERE customer_id = $1;

-- name: PlaceOrder :one
INSERT INTO orders (customer_id, note) VALUES ($1, $2) RETURNING *;

-- name: ReserveStock :execrows
UPDATE stock SET available = available - @quantity, reserved = reserved + @quantity
WHERE product_id = @product_id AND available >= @quantity;

-- name: DiscountCategory :many
UPDATE products SET discount_percent = @discount_percent WHERE category_id = @category_id RETURNING id, slug;

-- name: DeleteCustomer :execrows
UPDATE customers SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL;

-- name: MoveProduct :one
UPDATE products SET category_id = @category_id WHERE id = @id RETURNING *;

-- name: DeleteProduct :one
DELETE FROM products WHERE id = $1 RETURNING *;

-- name: ReleaseStock :exec
UPDATE stock s
SET available = s.available + i.quantity, reserved = s.reserved - i.quantity
FROM order_items i
WHERE i.order_id = @order_id AND s.product_id = i.product_id;

-- name: MoveCartToOrder :many
WITH moved AS (
    DELETE FROM cart_items WHERE customer_id = @customer_id RETURNING product_id, quantity
)
INSERT INTO order_items (order_id, product_id, quantity, price_cents)
SELECT @order_id, m.product_id, m.quantity, p.final_cents
FROM moved m
JOIN products p ON p.id = m.product_id
RETURNING *;

-- name: ClearStock :exec
TRUNCATE stock;

-- name: RenameEmail :one
-- RenameEmail keeps the address when none is given.
UPDATE customers SET email = coalesce(sqlc.narg('email'), email) WHERE id = @id RETURNING id;

-- name: SkipSlugs :execrows
UPDATE products SET published = false WHERE slug LIKE @prefix || '%';
