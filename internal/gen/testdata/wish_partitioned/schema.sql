CREATE TABLE postings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    account_id bigint NOT NULL,
    amount bigint NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, posted_at)
) PARTITION BY RANGE (posted_at);

CREATE INDEX postings_by_account ON postings (account_id);

CREATE TABLE postings_2025 PARTITION OF postings FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE postings_later PARTITION OF postings DEFAULT;
