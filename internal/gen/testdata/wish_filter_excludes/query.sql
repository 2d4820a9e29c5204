-- name: WorkerJobs :many
-- @cache worker_jobs(worker_id)
SELECT id, started_at FROM jobs WHERE worker_id = $1 AND state = 'running';

-- name: StartJob :exec
-- StartJob changes a row that WorkerJobs leaves out before, whatever its worker_id was.
UPDATE jobs SET state = 'running', worker_id = @worker_id, started_at = now() WHERE id = @id AND state = 'queued';

-- name: ClaimJobs :many
UPDATE jobs SET state = 'running', worker_id = @worker_id, started_at = now()
WHERE id IN (
    SELECT j.id FROM jobs j WHERE j.queue = @queue AND j.state = 'queued' ORDER BY j.id LIMIT @batch FOR UPDATE SKIP LOCKED
)
RETURNING *;
