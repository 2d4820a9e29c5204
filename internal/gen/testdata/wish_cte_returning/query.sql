-- name: GetWorkspace :one
-- @cache workspace(id)
SELECT * FROM workspaces WHERE id = $1;

-- name: GetRole :one
-- @cache membership(workspace_id, user_id)
SELECT role FROM workspace_members WHERE workspace_id = $1 AND user_id = $2;

-- name: CountQueue :one
-- @cache queue(queue)
SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'queued';

-- name: ListAttempts :many
-- @cache attempts(job_id)
SELECT * FROM attempts WHERE job_id = $1 ORDER BY attempt;

-- name: GetAccount :one
-- @cache account(id)
SELECT * FROM accounts WHERE id = $1;

-- name: ListHolds :many
-- @cache holds(account_id)
SELECT * FROM holds WHERE account_id = $1;

-- name: CreateWorkspace :one
-- CreateWorkspace returns the row of w as it is; m has the values of the same row.
WITH w AS (
    INSERT INTO workspaces (name, owner_id) VALUES (@name, @owner_id) RETURNING *
), m AS (
    INSERT INTO workspace_members (workspace_id, user_id, role) SELECT w.id, w.owner_id, 'owner' FROM w
)
SELECT * FROM w;

-- name: FailJob :one
WITH failed AS (
    UPDATE jobs SET state = 'queued'
    WHERE jobs.id = @id AND jobs.state = 'running'
    RETURNING jobs.id, jobs.queue, jobs.attempts
), logged AS (
    INSERT INTO attempts (job_id, attempt, error)
    SELECT failed.id, failed.attempts, @error FROM failed
)
SELECT failed.id, failed.queue FROM failed;

-- name: DrainQueues :many
WITH gone AS (
    DELETE FROM jobs WHERE state = 'done' RETURNING jobs.id, jobs.queue
)
SELECT gone.id, gone.queue FROM gone ORDER BY gone.id;

-- name: PlaceHold :exec
-- PlaceHold inserts for the account that it was given: held.id is accounts.id, which is @account_id.
WITH held AS (
    UPDATE accounts SET held = held + @amount
    WHERE accounts.id = @account_id AND available >= @amount
    RETURNING accounts.id
)
INSERT INTO holds (account_id, amount)
SELECT held.id, @amount::bigint FROM held;
