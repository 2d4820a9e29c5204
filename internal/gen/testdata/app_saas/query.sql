-- name: GetTenant :one
-- @cache tenant(id) ttl=1h
SELECT * FROM tenants WHERE id = $1;

-- name: GetTenantBySlug :one
-- @cache tenant_slug(slug) ttl=1h
SELECT id, name, plan, suspended_at FROM tenants WHERE slug = $1;

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
-- @stale-ok tenants
SELECT k.tenant_id, k.scopes, t.plan
FROM api_keys k
JOIN tenants t ON t.id = k.tenant_id
WHERE k.digest = $1 AND k.revoked_at IS NULL AND t.suspended_at IS NULL;

-- name: ListFlags :many
-- @cache flags(tenant_id) ttl=30s
SELECT flag FROM feature_flags WHERE tenant_id = $1 AND enabled ORDER BY flag;

-- name: GetProject :one
-- @cache project(tenant_id, id)
SELECT * FROM projects WHERE tenant_id = $1 AND id = $2;

-- name: GetProjectByKey :one
-- @cache project_key(tenant_id, key)
SELECT * FROM projects WHERE tenant_id = $1 AND key = $2;

-- name: ListProjects :many
-- @cache tenant_projects(tenant_id)
SELECT p.id, p.key, p.name, a.name AS lead
FROM projects p
LEFT JOIN accounts a ON a.tenant_id = p.tenant_id AND a.id = p.lead_id
WHERE p.tenant_id = $1 AND p.archived_at IS NULL
ORDER BY p.name;

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
-- @stale-ok projects
SELECT t.id, t.number, t.title, p.key
FROM open_tasks t
JOIN projects p USING (tenant_id)
WHERE t.tenant_id = $1 AND t.assignee_id = $2 AND p.id = t.project_id
ORDER BY t.due_on NULLS LAST, t.number;

-- name: Board :many
-- Board counts the tasks of a project by state.
-- @cache project_tasks(tenant_id, project_id)
WITH live AS (
    SELECT state FROM tasks WHERE tenant_id = @tenant_id AND project_id = @project_id AND deleted_at IS NULL
)
SELECT state, count(*) AS total FROM live GROUP BY state ORDER BY state;

-- name: ListComments :many
-- @cache task_comments(tenant_id, task_id)
-- @stale-ok accounts
SELECT sqlc.embed(c), sqlc.embed(a)
FROM comments c
JOIN accounts a ON a.tenant_id = c.tenant_id AND a.id = c.author_id
WHERE c.tenant_id = $1 AND c.task_id = $2
ORDER BY c.created_at;

-- name: ListWatchers :many
-- @cache task_watchers(tenant_id, task_id)
SELECT account_id FROM task_watchers WHERE tenant_id = $1 AND task_id = $2;

-- name: Dashboard :one
-- @cache tenant_dashboard(tenant_id) ttl=1m
SELECT
    (SELECT count(*) FROM projects p WHERE p.tenant_id = @tenant_id AND p.archived_at IS NULL) AS projects,
    (SELECT count(*) FROM tasks t WHERE t.tenant_id = @tenant_id AND NOT t.is_closed AND t.deleted_at IS NULL) AS open_tasks,
    (SELECT count(*) FROM accounts a WHERE a.tenant_id = @tenant_id AND a.deactivated_at IS NULL) AS accounts;

-- name: Usage :many
SELECT metric, sum(amount)::bigint AS total
FROM usage_events
WHERE tenant_id = $1 AND happened_at >= $2 AND happened_at < $3
GROUP BY metric;

-- name: CreateTenant :one
INSERT INTO tenants (id, slug, name) VALUES ($1, $2, $3) RETURNING *;

-- name: ChangePlan :one
UPDATE tenants SET plan = @plan, seats = @seats WHERE id = @id RETURNING *;

-- name: MergeSettings :one
UPDATE tenants SET settings = settings || @settings::jsonb WHERE id = @id RETURNING *;

-- name: SuspendTenants :many
UPDATE tenants SET suspended_at = now() WHERE id = ANY(@ids::uuid[]) RETURNING id, slug;

-- name: CreateAccount :one
INSERT INTO accounts (tenant_id, email, name) VALUES ($1, $2, $3) RETURNING *;

-- name: UpsertAccount :one
INSERT INTO accounts (tenant_id, email, name) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, email) DO UPDATE SET name = excluded.name, deactivated_at = NULL
RETURNING *;

-- name: DeactivateAccount :one
UPDATE accounts SET deactivated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING *;

-- name: CreateAPIKey :one
INSERT INTO api_keys (tenant_id, digest, scopes) VALUES ($1, $2, $3) RETURNING id;

-- name: UseAPIKey :exec
UPDATE api_keys SET last_used_at = now() WHERE digest = $1;

-- name: RevokeAPIKey :one
UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING digest;

-- name: SetFlag :exec
INSERT INTO feature_flags (tenant_id, flag, enabled) VALUES ($1, $2, $3)
ON CONFLICT (tenant_id, flag) DO UPDATE SET enabled = excluded.enabled;

-- name: CreateProject :one
INSERT INTO projects (tenant_id, key, name, lead_id) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: RenameProject :one
UPDATE projects SET name = $3 WHERE tenant_id = $1 AND id = $2 RETURNING *;

-- name: MoveTasks :many
UPDATE tasks SET state = @state, updated_at = now()
WHERE tenant_id = @tenant_id AND id = ANY(@ids::uuid[])
RETURNING id, project_id, number, assignee_id;

-- name: DeleteTask :one
UPDATE tasks SET deleted_at = now() WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING *;

-- name: PurgeTasks :many
DELETE FROM tasks WHERE tenant_id = $1 AND deleted_at < $2 RETURNING *;

-- name: AddComment :one
INSERT INTO comments (tenant_id, task_id, author_id, body) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: Watch :exec
INSERT INTO task_watchers (tenant_id, task_id, account_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: WatchAll :copyfrom
INSERT INTO task_watchers (tenant_id, task_id, account_id) VALUES ($1, $2, $3);

-- name: UnwatchProject :many
DELETE FROM task_watchers w USING tasks t
WHERE t.tenant_id = w.tenant_id AND t.id = w.task_id
    AND t.tenant_id = @tenant_id AND t.project_id = @project_id AND w.account_id = @account_id
RETURNING w.task_id;

-- name: RecordUsage :copyfrom
INSERT INTO usage_events (tenant_id, metric, amount) VALUES ($1, $2, $3);

-- name: NextNumber :one
SELECT coalesce(max(number), 0)::int + 1 AS number FROM tasks WHERE tenant_id = $1 AND project_id = $2;

-- name: CreateTask :one
INSERT INTO tasks (tenant_id, project_id, number, title, body) VALUES ($1, $2, $3, $4, $5) RETURNING *;

-- name: AcceptInvite :one
UPDATE invites SET state = 'accepted' WHERE token = $1 AND state = 'sent' AND expires_at > now() RETURNING *;

-- name: Invite :one
INSERT INTO invites (tenant_id, email, token, expires_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, email) WHERE state = 'sent' DO UPDATE SET expires_at = excluded.expires_at
RETURNING *;

-- name: AssignTask :one
UPDATE tasks SET assignee_id = @assignee_id::uuid, updated_at = now()
WHERE tenant_id = @tenant_id AND id = @id AND assignee_id = @old_assignee_id::uuid
RETURNING *;

-- name: SetFlagForAll :many
INSERT INTO feature_flags (tenant_id, flag, enabled)
SELECT id, @flag, @enabled FROM tenants
ON CONFLICT (tenant_id, flag) DO UPDATE SET enabled = excluded.enabled
RETURNING tenant_id;
