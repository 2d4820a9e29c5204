CREATE TABLE tickets (
    id bigint PRIMARY KEY,
    title text NOT NULL,
    assignee_id bigint,
    claimed_by uuid
);
