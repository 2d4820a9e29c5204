CREATE DOMAIN short AS varchar(3);
CREATE TABLE codes (
    id int PRIMARY KEY,
    code text NOT NULL,
    at timestamptz NOT NULL
);
CREATE SCHEMA app;
CREATE TABLE app.labels (
    id int PRIMARY KEY,
    code text NOT NULL
);
