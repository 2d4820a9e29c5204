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

-- name: GetCategoryBySlug :one
-- @cache category(slug) ttl=1h
SELECT * FROM categories WHERE slug = $1;

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

-- name: ListProductsByIDs :many
-- @cache product(ids)
SELECT * FROM products WHERE id = ANY(@ids::uuid[]);

-- name: ListImages :many
-- @cache product(product_id)
SELECT url, position FROM product_images WHERE product_id = $1 ORDER BY position;

-- name: GetRating :one
-- @cache product(product_id)
SELECT * FROM product_ratings WHERE product_id = $1;

-- name: ListReviews :many
-- @cache product_reviews(product_id) ttl=2m
-- @stale-ok customers
SELECT sqlc.embed(r), c.name AS author
FROM reviews r
LEFT JOIN customers c ON c.id = r.customer_id
WHERE r.product_id = $1 AND (sqlc.narg('before')::bigint IS NULL OR r.id < sqlc.narg('before'))
ORDER BY r.id DESC
LIMIT @page_size;

-- name: GetCart :many
-- @cache cart(customer_id) ttl=5m
-- @stale-ok products
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

-- name: GetOrderByNumber :one
-- @cache order_number(number)
SELECT * FROM orders WHERE number = $1;

-- name: ListOrders :many
-- @cache customer_orders(customer_id)
SELECT id, number, status, total_cents, placed_at
FROM orders
WHERE customer_id = $1 AND (sqlc.narg('status')::order_status IS NULL OR status = sqlc.narg('status'))
ORDER BY placed_at DESC
LIMIT $2;

-- name: ListOrderItems :many
-- @cache order(order_id)
-- @stale-ok products
SELECT i.quantity, i.price_cents, sqlc.embed(p)
FROM order_items i
JOIN products p ON p.id = i.product_id
WHERE i.order_id = $1
ORDER BY p.title;

-- name: GetStock :one
-- @cache stock(product_id) ttl=10s
SELECT available FROM stock WHERE product_id = $1;

-- name: TopProducts :many
-- TopProducts is for the back office, and not cached.
SELECT p.id, p.title, sum(i.quantity)::bigint AS sold
FROM order_items i
JOIN products p ON p.id = i.product_id
JOIN orders o ON o.id = i.order_id
WHERE o.placed_at > now() - interval '30 days'
GROUP BY p.id
ORDER BY sold DESC
LIMIT 10;

-- name: CreateCustomer :one
INSERT INTO customers (email, name, preferences) VALUES ($1, $2, $3) RETURNING *;

-- name: AddAddress :one
INSERT INTO addresses (customer_id, label, street, city, country, is_default)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *;

-- name: MakeAddressDefault :exec
UPDATE addresses SET is_default = (id = @id) WHERE customer_id = @customer_id;

-- name: DeleteAddress :execrows
DELETE FROM addresses WHERE id = $1 AND customer_id = $2;

-- name: CreateProduct :one
INSERT INTO products (category_id, slug, title, description, price_cents, attributes, tags)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *;

-- name: PublishProduct :one
UPDATE products SET published = true, updated_at = now() WHERE id = $1 RETURNING *;

-- name: DiscountCategory :many
UPDATE products SET discount_percent = @discount_percent WHERE category_id = @category_id RETURNING id, slug;

-- name: MoveProduct :one
UPDATE products SET category_id = @category_id, updated_at = now()
WHERE id = @id AND category_id = @old_category_id
RETURNING *;

-- name: RemoveFromCarts :many
DELETE FROM cart_items WHERE product_id = $1 RETURNING customer_id;

-- name: DeleteProduct :one
-- DeleteProduct runs after RemoveFromCarts, in one transaction that has locked the product.
-- @invalidates none(cart) "RemoveFromCarts took it out of the carts"
DELETE FROM products WHERE id = $1 RETURNING *;

-- name: AddImages :copyfrom
INSERT INTO product_images (product_id, position, url) VALUES ($1, $2, $3);

-- name: PutInCart :one
INSERT INTO cart_items (customer_id, product_id, quantity)
VALUES ($1, $2, $3)
ON CONFLICT (customer_id, product_id) DO UPDATE SET quantity = cart_items.quantity + excluded.quantity
RETURNING *;

-- name: RemoveFromCart :exec
DELETE FROM cart_items WHERE customer_id = $1 AND product_id = $2;

-- name: EmptyCart :execrows
DELETE FROM cart_items WHERE customer_id = $1;

-- name: PlaceOrder :one
INSERT INTO orders (customer_id, note) VALUES ($1, $2) RETURNING *;

-- name: SetOrderStatus :one
UPDATE orders SET status = @status WHERE id = @id AND status = @old_status RETURNING *;

-- name: CancelStaleOrders :many
UPDATE orders SET status = 'cancelled'
WHERE status = 'pending' AND placed_at < now() - interval '2 hours'
RETURNING id, customer_id, number;

-- name: ReserveStock :execrows
UPDATE stock SET available = available - @quantity, reserved = reserved + @quantity
WHERE product_id = @product_id AND available >= @quantity;

-- name: ReleaseStock :many
UPDATE stock s
SET available = s.available + i.quantity, reserved = s.reserved - i.quantity
FROM order_items i
WHERE i.order_id = @order_id AND s.product_id = i.product_id
RETURNING s.product_id;

-- name: UpsertPayment :one
INSERT INTO payments (order_id, provider_ref, state, amount_cents, raw)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (provider_ref) DO UPDATE SET state = excluded.state, raw = excluded.raw
RETURNING *;

-- name: MarkPaid :many
UPDATE orders o SET status = 'paid'
FROM payments p
WHERE p.provider_ref = @provider_ref AND p.state = 'captured' AND o.id = p.order_id AND o.status = 'pending'
RETURNING o.*;

-- name: AddReview :one
INSERT INTO reviews (product_id, customer_id, stars, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (product_id, customer_id) DO UPDATE SET stars = excluded.stars, body = excluded.body
RETURNING *;

-- name: DeleteReviewsOf :many
DELETE FROM reviews r USING products p
WHERE p.id = r.product_id AND p.slug = @slug
RETURNING r.id, r.product_id;

-- name: CountView :exec
INSERT INTO page_views (product_id, seen_on, views) VALUES ($1, current_date, 1)
ON CONFLICT (product_id, seen_on) DO UPDATE SET views = page_views.views + 1;

-- name: ClearImport :exec
TRUNCATE import_rows;

-- name: LoadImport :copyfrom
INSERT INTO import_rows (slug, title, price_cents) VALUES ($1, $2, $3);

-- name: ApplyImport :many
UPDATE products p SET title = i.title, price_cents = i.price_cents
FROM import_rows i
WHERE p.slug = i.slug
RETURNING p.id, p.slug, p.category_id;
