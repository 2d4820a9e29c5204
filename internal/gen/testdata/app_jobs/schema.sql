-- A job queue: queues, jobs with attempts and dependencies, schedules, workers,
-- an archive in partitions.

CREATE TYPE job_state AS ENUM ('queued', 'running', 'done', 'failed', 'dead');

CREATE FUNCTION touch() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;

CREATE TABLE queues (
    name text PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    max_running int NOT NULL DEFAULT 10 CHECK (max_running > 0),
    settings jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TRIGGER queues_touch BEFORE UPDATE ON queues
FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE workers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    host text NOT NULL,
    pid int NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (host, pid)
);

CREATE TABLE worker_queues (
    worker_id uuid NOT NULL REFERENCES workers (id) ON DELETE CASCADE,
    queue text NOT NULL REFERENCES queues (name) ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY (worker_id, queue)
);

CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL REFERENCES queues (name) ON UPDATE CASCADE,
    kind text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    state job_state NOT NULL DEFAULT 'queued',
    priority smallint NOT NULL DEFAULT 0,
    dedup_key text,
    attempts int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL DEFAULT 5,
    worker_id uuid REFERENCES workers (id) ON DELETE SET NULL,
    run_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    last_error text,
    exhausted boolean GENERATED ALWAYS AS (attempts >= max_attempts) STORED,
    CHECK (attempts >= 0)
);

CREATE UNIQUE INDEX jobs_dedup ON jobs (queue, dedup_key) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_ready ON jobs (queue, priority DESC, run_at) WHERE state = 'queued';

CREATE TABLE job_dependencies (
    job_id bigint NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    needs_id bigint NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (job_id, needs_id)
);

CREATE TABLE job_tags (
    job_id bigint NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    tag text NOT NULL,
    PRIMARY KEY (job_id, tag)
);

CREATE TABLE attempts (
    job_id bigint NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    attempt int NOT NULL,
    worker_id uuid,
    error text,
    took interval,
    finished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt)
);

CREATE TABLE schedules (
    name text PRIMARY KEY,
    queue text NOT NULL REFERENCES queues (name) ON UPDATE CASCADE ON DELETE CASCADE,
    cron text NOT NULL,
    kind text NOT NULL,
    payload jsonb,
    enabled boolean NOT NULL DEFAULT true,
    next_at timestamptz NOT NULL
);

CREATE TABLE queue_counts (
    queue text NOT NULL,
    state job_state NOT NULL,
    total bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, state)
);

-- queue_counts is kept by the rows of job_archive, which nobody reads from a cache.
CREATE TABLE job_archive (
    id bigint NOT NULL,
    queue text NOT NULL,
    kind text NOT NULL,
    state job_state NOT NULL,
    finished_at timestamptz NOT NULL,
    PRIMARY KEY (id, finished_at)
) PARTITION BY RANGE (finished_at);

CREATE TABLE job_archive_2025 PARTITION OF job_archive FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE job_archive_later PARTITION OF job_archive DEFAULT;

CREATE FUNCTION count_archived() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO queue_counts (queue, state, total) VALUES (NEW.queue, NEW.state, 1)
    ON CONFLICT (queue, state) DO UPDATE SET total = queue_counts.total + 1;
    RETURN NULL;
END;
$$;

CREATE TRIGGER job_archive_count AFTER INSERT ON job_archive
FOR EACH ROW EXECUTE FUNCTION count_archived();

CREATE VIEW queue_depths AS
SELECT queue, count(*) AS depth, min(run_at) AS oldest FROM jobs WHERE state = 'queued' GROUP BY queue;

CREATE TABLE staged_jobs (
    queue text NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL
);
