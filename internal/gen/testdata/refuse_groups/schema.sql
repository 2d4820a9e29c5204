CREATE TABLE a (id bigint PRIMARY KEY, n int NOT NULL, t text NOT NULL, w double precision NOT NULL);
