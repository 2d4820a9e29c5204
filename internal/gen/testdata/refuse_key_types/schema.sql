CREATE EXTENSION citext;
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE a (
    c citext NOT NULL,
    p char(8) NOT NULL,
    n numeric NOT NULL,
    t text COLLATE ignore_case NOT NULL,
    j jsonb NOT NULL,
    i interval NOT NULL,
    d date NOT NULL,
    v varchar(20) NOT NULL,
    z timestamptz NOT NULL,
    b bytea NOT NULL
);
