-- A shop: customers, a catalogue in categories, carts, orders and payments.

CREATE TYPE order_status AS ENUM ('pending', 'paid', 'shipped', 'cancelled', 'refunded');
CREATE TYPE payment_state AS ENUM ('authorized', 'captured', 'failed');

CREATE DOMAIN money_cents AS bigint CHECK (VALUE >= 0);

CREATE FUNCTION touch_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;

CREATE TABLE customers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text NOT NULL,
    preferences jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE UNIQUE INDEX customers_email_key ON customers (email) WHERE deleted_at IS NULL;

CREATE TRIGGER customers_touch BEFORE UPDATE ON customers
FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE addresses (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    label text NOT NULL,
    street text NOT NULL,
    city text NOT NULL,
    country char(2) NOT NULL,
    is_default boolean NOT NULL DEFAULT false
);

CREATE UNIQUE INDEX addresses_one_default ON addresses (customer_id) WHERE is_default;

CREATE TABLE categories (
    id bigserial PRIMARY KEY,
    parent_id bigint REFERENCES categories (id) ON DELETE SET NULL,
    slug text NOT NULL UNIQUE,
    title text NOT NULL,
    position int NOT NULL DEFAULT 0
);

CREATE TABLE products (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    category_id bigint NOT NULL REFERENCES categories (id) ON DELETE RESTRICT,
    slug text NOT NULL UNIQUE,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    price_cents money_cents NOT NULL,
    discount_percent int NOT NULL DEFAULT 0 CHECK (discount_percent BETWEEN 0 AND 90),
    final_cents bigint GENERATED ALWAYS AS (price_cents * (100 - discount_percent) / 100) STORED,
    attributes jsonb NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT '{}',
    published boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX products_by_category ON products (category_id, created_at DESC) WHERE published;

CREATE TABLE product_images (
    product_id uuid NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    position int NOT NULL,
    url text NOT NULL,
    PRIMARY KEY (product_id, position)
);

CREATE TABLE stock (
    product_id uuid PRIMARY KEY REFERENCES products (id) ON DELETE CASCADE,
    available int NOT NULL DEFAULT 0 CHECK (available >= 0),
    reserved int NOT NULL DEFAULT 0 CHECK (reserved >= 0)
);

CREATE TABLE cart_items (
    customer_id uuid NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    product_id uuid NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    quantity int NOT NULL CHECK (quantity > 0),
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (customer_id, product_id)
);

CREATE TABLE orders (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL REFERENCES customers (id),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    status order_status NOT NULL DEFAULT 'pending',
    total_cents money_cents NOT NULL DEFAULT 0,
    note text,
    placed_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX orders_by_customer ON orders (customer_id, placed_at DESC);

CREATE TABLE order_items (
    order_id uuid NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id uuid NOT NULL REFERENCES products (id),
    quantity int NOT NULL CHECK (quantity > 0),
    price_cents money_cents NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

-- The total of an order is kept by its items.
CREATE FUNCTION sum_order() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE orders
    SET total_cents = (SELECT coalesce(sum(quantity * price_cents), 0) FROM order_items WHERE order_id = coalesce(NEW.order_id, OLD.order_id))
    WHERE id = coalesce(NEW.order_id, OLD.order_id);
    RETURN NULL;
END;
$$;

CREATE TRIGGER order_items_sum AFTER INSERT OR UPDATE OR DELETE ON order_items
FOR EACH ROW EXECUTE FUNCTION sum_order();

CREATE TABLE payments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id uuid NOT NULL REFERENCES orders (id),
    provider_ref text NOT NULL UNIQUE,
    state payment_state NOT NULL,
    amount_cents money_cents NOT NULL,
    raw jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reviews (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    customer_id uuid REFERENCES customers (id) ON DELETE SET NULL,
    stars smallint NOT NULL CHECK (stars BETWEEN 1 AND 5),
    body text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (product_id, customer_id)
);

CREATE TABLE page_views (
    product_id uuid NOT NULL,
    seen_on date NOT NULL,
    views bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (product_id, seen_on)
) PARTITION BY RANGE (seen_on);

CREATE TABLE page_views_2025 PARTITION OF page_views FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE page_views_2026 PARTITION OF page_views FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

CREATE TABLE import_rows (
    slug text NOT NULL,
    title text NOT NULL,
    price_cents bigint NOT NULL
);

CREATE VIEW product_ratings AS
SELECT
    p.id AS product_id,
    count(r.id) AS reviews,
    coalesce(avg(r.stars), 0)::float8 AS stars
FROM products p
LEFT JOIN reviews r ON r.product_id = p.id
GROUP BY p.id;
