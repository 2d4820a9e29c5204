CREATE TYPE job_state AS ENUM ('queued', 'running', 'done');

CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    queue text NOT NULL,
    state job_state NOT NULL DEFAULT 'queued',
    worker_id uuid,
    started_at timestamptz
);
