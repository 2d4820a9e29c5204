CREATE TABLE items (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shop_id bigint NOT NULL,
    price int NOT NULL,
    amount int NOT NULL,
    total int GENERATED ALWAYS AS (price * amount) STORED,
    note text NOT NULL DEFAULT ''
);
