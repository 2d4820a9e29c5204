CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    holder_id bigint NOT NULL,
    balance bigint NOT NULL
);

CREATE TABLE friendships (
    user_a bigint NOT NULL,
    user_b bigint NOT NULL,
    since date NOT NULL,
    PRIMARY KEY (user_a, user_b)
);
