CREATE TABLE items (
    id uuid PRIMARY KEY,
    "type" text NOT NULL,
    "range" int NOT NULL,
    "func" text NOT NULL,
    string text NOT NULL,
    error text NOT NULL,
    len int NOT NULL,
    nil bool NOT NULL,
    uuid uuid NOT NULL,
    time timestamptz NOT NULL,
    "order" int NOT NULL,
    "Mixed Case" text NOT NULL DEFAULT ''
);

CREATE TABLE keys (
    key text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE queries (
    id bigint PRIMARY KEY,
    text text NOT NULL
);
