CREATE TABLE sessions (id int PRIMARY KEY, title text NOT NULL);
