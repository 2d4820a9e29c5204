-- name: GetTenant :one
-- @cache tenant(id) ttl=1h
SELECT * FROM tenants WHERE id = $1;

-- name: GetAccount :one
-- @cache account(tenant_id, id) ttl=15m
SELECT * FROM accounts WHERE tenant_id = $1 AND id = $2;

-- name: GetAccountByEmail :one
-- @cache account_email(tenant_id, email)
SELECT * FROM accounts WHERE tenant_id = $1 AND email = $2 AND deactivated_at IS NULL;

-- name: CountSeats :one
-- @cache tenant_accounts(tenant_id)
SELECT count(*) FROM accounts WHERE tenant_id = $1 AND deactivated_at IS NULL;

-- name: Authenticate :one
-- Authenticate finds who an API key belongs to.
-- @cache api_key(digest) ttl=1m mode=strict
SELECT k.tenant_id, k.scopes, t.plan
FROM api_keys k
JOIN tenants t ON t.id = k.tenant_id
WHERE k.digest = $1 AND k.revoked_at IS NULL AND t.suspended_at IS NULL;

-- name: GetProject :one
-- @cache project(tenant_id, id)
SELECT * FROM projects WHERE tenant_id = $1 AND id = $2;

-- name: GetTask :one
-- @cache task(tenant_id, id)
SELECT * FROM tasks WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL;

-- name: GetTaskByNumber :one
-- @cache task_number(tenant_id, project_id, number)
SELECT * FROM tasks WHERE tenant_id = $1 AND project_id = $2 AND number = $3 AND deleted_at IS NULL;

-- name: ListTasks :many
-- @cache project_tasks(tenant_id, project_id)
SELECT id, number, title, state, assignee_id, due_on
FROM tasks
WHERE tenant_id = @tenant_id AND project_id = @project_id AND deleted_at IS NULL
    AND (sqlc.narg('state')::task_state IS NULL OR state = sqlc.narg('state'))
    AND (cardinality(@labels::text[]) = 0 OR labels && @labels::text[])
    AND number > @after
ORDER BY number
LIMIT @page_size;

-- name: ListMyOpenTasks :many
-- @cache my_tasks(tenant_id, assignee_id)
SELECT t.id, t.number, t.title, p.key
FROM open_tasks t
JOIN projects p USING (tenant_id)
WHERE t.tenant_id = $1 AND t.assignee_id = $2 AND p.id = t.project_id
ORDER BY t.due_on NULLS LAST, t.number;

-- name: ListComments :many
-- @cache task_comments(tenant_id, task_id)
SELECT sqlc.embed(c), sqlc.embed(a)
FROM comments c
JOIN accounts a ON a.tenant_id = c.tenant_id AND a.id = c.author_id
WHERE c.tenant_id = $1 AND c.task_id = $2
ORDER BY c.created_at;

-- name: Dashboard :one
-- @cache tenant_dashboard(tenant_id) ttl=1m
SELECT
    (SELECT count(*) FROM projects p WHERE p.tenant_id = @tenant_id AND p.archived_at IS NULL) AS projects,
    (SELECT count(*) FROM tasks t WHERE t.tenant_id = @tenant_id AND NOT t.is_closed AND t.deleted_at IS NULL) AS open_tasks,
    (SELECT count(*) FROM accounts a WHERE a.tenant_id = @tenant_id AND a.deactivated_at IS NULL) AS accounts;

-- name: ListOverdue :many
-- @cache overdue(tenant_id)
SELECT id, title FROM tasks WHERE tenant_id = $1 AND due_on < current_date AND NOT is_closed;

-- name: FindTask :one
-- FindTask takes TENANT-12 apart; the tenant comes from the session.
-- @cache task_ref(number)
SELECT t.*
FROM tasks t
JOIN projects p ON p.tenant_id = t.tenant_id AND p.id = t.project_id
WHERE t.tenant_id = current_setting('app.tenant')::uuid AND t.number = @number;

-- name: GetAnyTask :one
-- @cache task(tenant_id, id)
SELECT * FROM tasks WHERE (tenant_id = @tenant_id OR @is_support::boolean) AND id = @id;

-- name: ChangePlan :one
UPDATE tenants SET plan = @plan, seats = @seats WHERE id = @id RETURNING *;

-- name: UpsertAccount :one
INSERT INTO accounts (tenant_id, email, name) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, email) DO UPDATE SET name = excluded.name, deactivated_at = NULL
RETURNING *;

-- name: DeactivateAccount :one
UPDATE accounts SET deactivated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING *;

-- name: RevokeAPIKey :one
UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING digest;

-- name: CreateProject :one
INSERT INTO projects (tenant_id, key, name, lead_id) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: MoveTasks :many
UPDATE tasks SET state = @state, updated_at = now()
WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[])
RETURNING id, project_id, number, assignee_id;

-- name: DeleteTask :one
UPDATE tasks SET deleted_at = now() WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING *;

-- name: AddComment :one
INSERT INTO comments (tenant_id, task_id, author_id, body) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: DeleteTenant :one
DELETE FROM tenants WHERE id = $1 RETURNING id, slug;

-- name: DeleteAccount :one
DELETE FROM accounts WHERE tenant_id = $1 AND id = $2 RETURNING *;

-- name: AssignTask :one
UPDATE tasks SET assignee_id = sqlc.narg('assignee_id'), updated_at = now()
WHERE tenant_id = @tenant_id AND id = @id
RETURNING *;

-- name: SyncSeats :exec
MERGE INTO accounts a
USING (SELECT unnest(@emails::text[]) AS email) s
ON a.tenant_id = @tenant_id AND a.email = s.email
WHEN NOT MATCHED THEN INSERT (tenant_id, email, name) VALUES (@tenant_id, s.email, s.email);

-- name: RaisePriority :execrows
UPDATE tasks SET labels = labels || 'late'::text WHERE due_on < @day AND NOT is_closed;

-- name: PurgeProjects :execrows
DELETE FROM projects WHERE archived_at < $1;
