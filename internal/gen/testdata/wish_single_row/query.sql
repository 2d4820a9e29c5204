-- name: GetJob :one
-- @cache job(id)
SELECT * FROM jobs WHERE id = $1;

-- name: CountQueue :one
-- @cache queue(queue)
SELECT count(*) FROM jobs WHERE queue = $1 AND state = 'queued';

-- name: ListOrders :many
-- @cache customer_orders(customer_id)
SELECT * FROM orders WHERE customer_id = $1;

-- name: CountMembers :one
-- @cache tenant_members(tenant_id)
SELECT count(*) FROM members WHERE tenant_id = $1;

-- name: GetTask :one
-- @cache task(id)
SELECT * FROM tasks WHERE id = $1;

-- name: ClaimOne :one
-- ClaimOne changes one row at most: a scalar sub-select is one value, and id is the primary key.
UPDATE jobs SET state = 'running'
WHERE id = (
    SELECT j.id FROM jobs j WHERE j.queue = @queue AND j.state = 'queued' ORDER BY j.id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- name: MarkPaid :one
-- MarkPaid changes one row at most: one payment by its key, and its order by the key of orders.
UPDATE orders o SET status = 'paid'
FROM payments p
WHERE p.provider_ref = @provider_ref AND o.id = p.order_id AND o.status = 'pending'
RETURNING o.*;

-- name: AcceptInvite :one
-- AcceptInvite inserts one row at most: the CTE returns the row of one token.
WITH invite AS (
    UPDATE invites SET state = 'accepted' WHERE token = @token AND state = 'sent' RETURNING tenant_id, email
)
INSERT INTO members (tenant_id, email)
SELECT invite.tenant_id, invite.email FROM invite
RETURNING *;

-- name: CreateTask :one
-- CreateTask inserts one row: an aggregate without GROUP BY.
INSERT INTO tasks (project_id, number, title)
SELECT @project_id, coalesce(max(t.number), 0) + 1, @title
FROM tasks t
WHERE t.project_id = @project_id
RETURNING *;

-- name: CreateTaskIfMember :one
-- CreateTaskIfMember inserts one row at most: no FROM.
INSERT INTO tasks (project_id, number, title)
SELECT @project_id, 1, @title
WHERE EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = @tenant_id)
RETURNING *;
