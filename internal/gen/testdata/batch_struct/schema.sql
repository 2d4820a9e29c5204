CREATE TABLE sessions (id bigint PRIMARY KEY, title text NOT NULL);
