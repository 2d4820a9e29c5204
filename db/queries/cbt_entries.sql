-- name: GetCBTEntry :one
-- GetCBTEntry returns one CBT form of a session.
-- @cache cbt(session_id) ttl=1h
SELECT * FROM cbt_entries WHERE session_id = $1 AND id = $2;

-- name: ListCBTEntries :many
-- ListCBTEntries returns all CBT forms of a session, newest first.
-- @cache cbt(session_id)
SELECT * FROM cbt_entries
WHERE session_id = $1
ORDER BY created_at DESC, id DESC;

-- name: ListCBTEntriesBySessions :many
-- ListCBTEntriesBySessions returns all CBT forms of the given sessions, in no order.
-- @cache cbt(session_ids)
SELECT * FROM cbt_entries WHERE session_id = ANY(@session_ids::uuid[]);

-- name: CreateCBTEntry :one
-- CreateCBTEntry adds a CBT form to a session.
INSERT INTO cbt_entries (session_id, user_id, kind, data, distress)
VALUES ($1, $2, $3, $4, $5)
RETURNING *;

-- name: UpdateCBTEntry :one
-- UpdateCBTEntry replaces what was filled in.
UPDATE cbt_entries
SET data = $3, distress = $4, completed = $5, updated_at = now()
WHERE session_id = $1 AND id = $2
RETURNING *;

-- name: MergeCBTData :one
-- MergeCBTData writes the given JSON fields over those that are there.
UPDATE cbt_entries
SET data = data || @patch::jsonb, updated_at = now()
WHERE id = @id
RETURNING *;

-- name: DeleteCBTEntry :one
-- DeleteCBTEntry removes a CBT form and returns it.
DELETE FROM cbt_entries WHERE session_id = $1 AND id = $2 RETURNING *;
