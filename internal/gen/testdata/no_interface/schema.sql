CREATE TYPE kind AS ENUM ('open', 'closed');
CREATE TABLE rooms (id int PRIMARY KEY, kind kind NOT NULL, name text NOT NULL);
CREATE TABLE seats (id bigint PRIMARY KEY, room_id bigint NOT NULL, taken boolean NOT NULL, kind text NOT NULL DEFAULT 'plain');
