CREATE TABLE channels (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    message_count bigint NOT NULL DEFAULT 0,
    last_message_at timestamptz
);

CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id bigint NOT NULL REFERENCES channels (id),
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION bump_channel() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE channels SET message_count = message_count - 1 WHERE id = OLD.channel_id;
        RETURN OLD;
    END IF;
    UPDATE channels SET message_count = message_count + 1, last_message_at = NEW.created_at WHERE id = NEW.channel_id;
    RETURN NEW;
END
$$;

CREATE TRIGGER messages_bump AFTER INSERT OR DELETE ON messages
FOR EACH ROW EXECUTE FUNCTION bump_channel();

-- The total of an order is kept by its items.
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    total_cents bigint NOT NULL DEFAULT 0
);

CREATE TABLE order_items (
    order_id uuid NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    product_id uuid NOT NULL,
    quantity int NOT NULL,
    price_cents bigint NOT NULL,
    PRIMARY KEY (order_id, product_id)
);

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
