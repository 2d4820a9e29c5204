-- name: WorkerJobs :many
-- @cache worker_jobs(worker_id)
SELECT id FROM jobs WHERE worker_id = $1;

-- name: RequeueLost :many
-- RequeueLost returns what worker_id was: w.id, which it equalled.
UPDATE jobs j SET state = 'queued', worker_id = NULL
FROM workers w
WHERE j.worker_id = w.id AND w.heartbeat_at < now() - interval '1 minute'
RETURNING j.id, w.id AS old_worker_id;

-- name: Reassign :many
-- Reassign locks the old row in a sub-select that returns its value.
UPDATE jobs j SET worker_id = @worker_id
FROM (SELECT o.id, o.worker_id FROM jobs o WHERE o.id = @id FOR UPDATE) old
WHERE j.id = old.id
RETURNING j.id, old.worker_id AS old_worker_id;
