CREATE TABLE account_limits (
    account_id bigint NOT NULL,
    period text NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (account_id, period)
);

CREATE TABLE limit_changes (
    id bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    period text NOT NULL,
    FOREIGN KEY (account_id, period) REFERENCES account_limits (account_id, period) ON DELETE CASCADE
);
