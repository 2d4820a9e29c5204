CREATE TABLE workers (
    id uuid PRIMARY KEY,
    heartbeat_at timestamptz NOT NULL
);

CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    state text NOT NULL,
    worker_id uuid REFERENCES workers (id)
);
