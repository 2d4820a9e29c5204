-- name: GetSession :one
-- GetSession returns one therapy session.
-- @cache session(id) ttl=30m
SELECT * FROM sessions WHERE id = $1;

-- name: ListSessionsByIDs :many
-- ListSessionsByIDs returns those of the given sessions that exist, in no order.
-- @cache session(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: ListSessions :many
-- ListSessions returns a page of a person's sessions, newest first.
-- @cache session_list(user_id)
SELECT * FROM sessions
WHERE user_id = @user_id
ORDER BY started_at DESC, id DESC
LIMIT @page_size OFFSET @page_offset;

-- name: CountSessions :one
-- CountSessions returns how many sessions a person has.
-- @cache session_list(user_id)
SELECT count(*) FROM sessions WHERE user_id = $1;

-- name: CreateSession :one
-- CreateSession starts a session.
INSERT INTO sessions (user_id, title, mood_before)
VALUES ($1, $2, $3)
RETURNING *;

-- name: UpdateSession :one
-- UpdateSession writes everything about a session that can change, if the session belongs to the given person.
UPDATE sessions
SET title = $3, status = $4, pinned = $5, mood_before = $6, mood_after = $7, summary = $8, ended_at = $9, updated_at = now()
WHERE id = $1 AND user_id = $2
RETURNING *;

-- name: RenameSession :one
-- RenameSession gives a session another title.
UPDATE sessions SET title = $2, updated_at = now() WHERE id = $1 RETURNING *;

-- name: CompleteSession :one
-- CompleteSession ends a session and records the mood at its end.
UPDATE sessions
SET status = 'completed', mood_after = $2, ended_at = now(), updated_at = now()
WHERE id = $1
RETURNING *;

-- name: DeleteSession :one
-- DeleteSession removes a session with its messages, CBT entries and reports.
DELETE FROM sessions WHERE id = $1 RETURNING id, user_id;

-- name: DeleteSessionsOfUser :many
-- DeleteSessionsOfUser removes all sessions of a person with everything in them.
DELETE FROM sessions WHERE user_id = $1 RETURNING id, user_id;
