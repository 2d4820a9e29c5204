CREATE TABLE stock (sku text PRIMARY KEY, warehouse text NOT NULL, quantity int NOT NULL);
CREATE TABLE staging (sku text PRIMARY KEY, quantity int NOT NULL);
CREATE TABLE lots (id uuid PRIMARY KEY, sku text NOT NULL REFERENCES stock ON DELETE CASCADE);
