-- name: GetQueue :one
-- @cache queue(name) ttl=1m
SELECT * FROM queues WHERE name = $1;

-- name: GetDepth :one
-- @cache queue_jobs(queue) ttl=5s
SELECT depth, oldest FROM queue_depths WHERE queue = $1;

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

-- name: FindByDedupKey :one
-- @cache job_dedup(queue, dedup_key)
SELECT id, state FROM jobs WHERE queue = $1 AND dedup_key = $2 AND state IN ('queued', 'running');

-- name: ListTags :many
-- @cache job(job_id)
SELECT tag FROM job_tags WHERE job_id = $1 ORDER BY tag;

-- name: IsReady :one
-- IsReady tells whether all that a job needs is done.
-- @cache job_ready(job_id)
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

-- name: NextJob :one
-- @cache queue_jobs(queue)
SELECT * FROM jobs WHERE queue = $1 AND state = 'queued' ORDER BY priority DESC, run_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: DueSchedules :many
-- @cache due(queue)
SELECT name, kind FROM schedules WHERE queue = $1 AND enabled AND next_at <= now();

-- name: SampleJobs :many
-- @cache queue_jobs(queue)
SELECT id, kind FROM jobs TABLESAMPLE system (1) WHERE queue = $1;

-- name: FindByPayload :many
-- @cache payload_jobs(payload)
SELECT id, kind FROM jobs WHERE payload = $1;

-- name: Enqueue :one
INSERT INTO jobs (queue, kind, payload, priority, dedup_key, run_at)
VALUES (@queue, @kind, @payload, @priority, sqlc.narg('dedup_key'), coalesce(sqlc.narg('run_at'), now()))
ON CONFLICT (queue, dedup_key) WHERE state IN ('queued', 'running') DO NOTHING
RETURNING *;

-- name: EnqueueStaged :many
INSERT INTO jobs (queue, kind, payload)
SELECT queue, kind, payload FROM staged_jobs
RETURNING id, queue, dedup_key;

-- name: FinishJob :one
UPDATE jobs SET state = 'done', finished_at = now() WHERE id = $1 AND state = 'running' RETURNING *;

-- name: LogAttempt :exec
INSERT INTO attempts (job_id, attempt, error) VALUES ($1, $2, $3);

-- name: RegisterWorker :one
INSERT INTO workers (host, pid) VALUES ($1, $2)
ON CONFLICT (host, pid) DO UPDATE SET started_at = now(), heartbeat_at = now()
RETURNING *;

-- name: UntagJob :exec
DELETE FROM job_tags WHERE job_id = $1 AND tag = $2;

-- name: AddDependency :exec
INSERT INTO job_dependencies (job_id, needs_id) VALUES ($1, $2);

-- name: UpsertSchedule :one
INSERT INTO schedules (name, queue, cron, kind, payload, next_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, payload = excluded.payload, next_at = excluded.next_at
RETURNING *;

-- name: RenameQueue :exec
UPDATE queues SET name = @new_name WHERE name = @name;

-- name: EnqueueMany :copyfrom
INSERT INTO jobs (queue, kind, payload, dedup_key) VALUES ($1, $2, $3, $4);

-- name: RemoveDeadWorkers :many
DELETE FROM workers WHERE heartbeat_at < now() - interval '5 minutes' RETURNING id;

-- name: ArchiveDone :execrows
WITH moved AS (
    DELETE FROM jobs
    WHERE jobs.state = 'done' AND jobs.finished_at < @before
    RETURNING jobs.id, jobs.queue, jobs.kind, jobs.state, jobs.finished_at
)
INSERT INTO job_archive (id, queue, kind, state, finished_at)
SELECT m.id, m.queue, m.kind, m.state, m.finished_at FROM moved m;

-- name: DeleteDeadJobs :many
DELETE FROM jobs WHERE queue = $1 AND state = 'dead' RETURNING id, dedup_key, worker_id;

-- name: HandOver :execrows
UPDATE jobs SET worker_id = @worker_id WHERE queue = @queue AND state = 'running';

-- name: ClearJobs :exec
TRUNCATE jobs CASCADE;

-- name: Boost :exec
UPDATE jobs SET priority = priority + 1 WHERE id IN (SELECT d.needs_id FROM job_dependencies d WHERE d.job_id = @job_id);
