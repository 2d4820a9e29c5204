CREATE TABLE messages (
    id bigint PRIMARY KEY,
    channel_id bigint NOT NULL
);

CREATE TABLE pins (
    channel_id bigint NOT NULL,
    message_id bigint NOT NULL,
    pinned_by bigint NOT NULL,
    PRIMARY KEY (channel_id, message_id)
);

CREATE TABLE job_tags (
    job_id bigint NOT NULL,
    tag text NOT NULL,
    PRIMARY KEY (job_id, tag)
);

CREATE TABLE prices (
    product_id bigint PRIMARY KEY,
    cents bigint NOT NULL
);
