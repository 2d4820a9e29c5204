-- name: GetQueue :one
-- @cache queue(name) ttl=1m
SELECT * FROM queues WHERE name = $1;

-- name: GetDepth :one
-- @cache queue_jobs(queue) ttl=5s
SELECT depth, oldest FROM queue_depths WHERE queue = $1;

-- name: CountByState :many
-- @cache queue_jobs(queue)
SELECT state, count(*) AS total FROM jobs WHERE queue = $1 GROUP BY state;

-- name: ListJobs :many
-- @cache queue_jobs(queue)
SELECT id, kind, state, priority, run_at, exhausted
FROM jobs
WHERE queue = @queue AND state = ANY(@states::job_state[]) AND id > @after
ORDER BY id
LIMIT @page_size;

-- name: GetJob :one
-- @cache job(id) ttl=30s
SELECT * FROM jobs WHERE id = $1;

-- name: GetJobs :many
-- @cache job(ids)
SELECT * FROM jobs WHERE id = ANY(@ids::bigint[]);

-- name: GetPayload :one
-- @cache job(id)
SELECT kind, payload FROM jobs WHERE id = $1;

-- name: FindByDedupKey :one
-- @cache job_dedup(queue, dedup_key)
SELECT id, state FROM jobs WHERE queue = $1 AND dedup_key = $2 AND state IN ('queued', 'running');

-- name: ListAttempts :many
-- @cache job(job_id)
SELECT attempt, error, took, finished_at FROM attempts WHERE job_id = $1 ORDER BY attempt;

-- name: ListTags :many
-- @cache job(job_id)
SELECT tag FROM job_tags WHERE job_id = $1 ORDER BY tag;

-- name: IsReady :one
-- IsReady tells whether all that a job needs is done.
-- @cache job_ready(job_id) ttl=2s
-- @stale-ok jobs
SELECT NOT EXISTS (
    SELECT 1
    FROM job_dependencies d
    JOIN jobs n ON n.id = d.needs_id
    WHERE d.job_id = $1 AND n.state <> 'done'
);

-- name: ListDependencies :many
-- @cache job_needs(job_id)
SELECT needs_id FROM job_dependencies WHERE job_id = $1 ORDER BY needs_id;

-- name: WorkerJobs :many
-- @cache worker_jobs(worker_id)
SELECT j.id, j.kind, j.started_at FROM jobs j WHERE j.worker_id = $1 AND j.state = 'running';

-- name: GetWorker :one
-- @cache worker(id)
SELECT id, host, pid, started_at FROM workers WHERE id = $1;

-- name: ListWorkerQueues :many
-- @cache worker(worker_id)
SELECT queue FROM worker_queues WHERE worker_id = $1 ORDER BY queue;

-- name: GetSchedule :one
-- @cache schedule(name)
SELECT * FROM schedules WHERE name = $1;

-- name: ListDueSchedules :many
SELECT * FROM schedules WHERE enabled AND next_at <= now() FOR UPDATE SKIP LOCKED;

-- name: ArchivedCounts :many
-- @cache queue_archive(queue)
SELECT state, total FROM queue_counts WHERE queue = $1;

-- name: Enqueue :one
INSERT INTO jobs (queue, kind, payload, priority, dedup_key, run_at)
VALUES (@queue, @kind, @payload, @priority, sqlc.narg('dedup_key'), coalesce(sqlc.narg('run_at'), now()))
ON CONFLICT (queue, dedup_key) WHERE state IN ('queued', 'running') DO NOTHING
RETURNING *;

-- name: EnqueueStaged :many
INSERT INTO jobs (queue, kind, payload)
SELECT queue, kind, payload FROM staged_jobs
RETURNING id, queue, dedup_key;

-- name: StageJobs :copyfrom
INSERT INTO staged_jobs (queue, kind, payload) VALUES ($1, $2, $3);

-- name: ClearStage :exec
TRUNCATE staged_jobs;

-- name: FinishJob :one
UPDATE jobs SET state = 'done', finished_at = now() WHERE id = $1 AND state = 'running' RETURNING *;

-- name: LogAttempt :exec
INSERT INTO attempts (job_id, attempt, error) VALUES ($1, $2, $3);

-- name: Heartbeat :execrows
UPDATE workers SET heartbeat_at = now() WHERE id = $1;

-- name: RegisterWorker :one
INSERT INTO workers (host, pid) VALUES ($1, $2)
ON CONFLICT (host, pid) DO UPDATE SET started_at = now(), heartbeat_at = now()
RETURNING *;

-- name: ServeQueues :exec
INSERT INTO worker_queues (worker_id, queue) SELECT @worker_id, unnest(@queues::text[]) ON CONFLICT DO NOTHING;

-- name: UntagJob :exec
DELETE FROM job_tags WHERE job_id = $1 AND tag = $2;

-- name: AddDependency :exec
INSERT INTO job_dependencies (job_id, needs_id) VALUES ($1, $2);

-- name: UpsertSchedule :one
INSERT INTO schedules (name, queue, cron, kind, payload, next_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, payload = excluded.payload, next_at = excluded.next_at
RETURNING *;

-- name: ClaimJobs :many
-- ClaimJobs takes jobs that nobody runs: WorkerJobs had none of them before.
-- @invalidates worker_jobs(worker_id)
UPDATE jobs SET state = 'running', worker_id = @worker_id, started_at = now(), attempts = attempts + 1
WHERE id IN (
    SELECT j.id
    FROM jobs j
    WHERE j.queue = @queue AND j.state = 'queued' AND j.run_at <= now()
    ORDER BY j.priority DESC, j.run_at
    LIMIT @batch
    FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: RequeueLost :many
-- @invalidates worker_jobs(old_worker_id)
UPDATE jobs j SET state = 'queued', worker_id = NULL
FROM workers w
WHERE j.worker_id = w.id AND j.state = 'running' AND w.heartbeat_at < now() - interval '1 minute'
RETURNING j.id, j.queue, j.dedup_key, w.id AS old_worker_id;

-- name: CreateQueue :one
INSERT INTO queues (name, max_running) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING *;

-- name: FailJob :one
UPDATE jobs
SET state = CASE WHEN attempts >= max_attempts THEN 'dead'::job_state ELSE 'queued'::job_state END,
    last_error = @last_error, run_at = now() + interval '1 minute'
WHERE id = @id AND state = 'running'
RETURNING *;

-- name: TagJobs :copyfrom
INSERT INTO job_tags (job_id, tag) VALUES ($1, $2);

-- name: DropDependents :many
DELETE FROM job_dependencies WHERE needs_id = $1 RETURNING job_id;

-- name: DeleteJob :one
-- DeleteJob runs after DropDependents, in one transaction that has locked the job.
-- @invalidates none(job_ready) "DropDependents deleted what waits for it"
-- @invalidates none(job_needs) "DropDependents deleted what waits for it"
DELETE FROM jobs WHERE id = $1 RETURNING *;

-- name: ReleaseJobs :many
UPDATE jobs SET worker_id = NULL, state = 'queued' WHERE worker_id = @worker_id::uuid RETURNING id, queue, dedup_key;

-- name: ForgetWorker :execrows
-- @invalidates none(job) "ReleaseJobs has run before, in the same transaction"
-- @invalidates none(job_dedup) "ReleaseJobs has run before, in the same transaction"
-- @invalidates none(queue_jobs) "ReleaseJobs has run before, in the same transaction"
DELETE FROM workers WHERE id = $1;
