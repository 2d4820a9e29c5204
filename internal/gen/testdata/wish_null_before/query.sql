-- name: ListAssigned :many
-- @cache assigned(assignee_id)
SELECT id, title FROM tickets WHERE assignee_id = $1;

-- name: ListClaimed :many
-- @cache claimed(claimed_by)
SELECT id, title FROM tickets WHERE claimed_by = $1;

-- name: Assign :exec
-- Assign takes a ticket that nobody has: no entry can have shown it.
UPDATE tickets SET assignee_id = @assignee_id WHERE id = @id AND assignee_id IS NULL;

-- name: Claim :many
UPDATE tickets SET claimed_by = @worker
WHERE id IN (
    SELECT t.id FROM tickets t WHERE t.claimed_by IS NULL ORDER BY t.id LIMIT @batch FOR UPDATE SKIP LOCKED
)
RETURNING *;
