-- name: SessionReport :one
-- SessionReport computes the figures of one session over its messages and CBT entries. Where there is nothing to
-- count, the averages are 0 and the times are those of the session's start.
-- @cache report(user_id, session_id) ttl=2h
SELECT
    s.id AS session_id,
    s.user_id,
    s.title,
    s.status,
    s.mood_before,
    s.mood_after,
    s.started_at,
    s.ended_at,
    coalesce(m.message_count, 0)::bigint AS message_count,
    coalesce(m.client_count, 0)::bigint AS client_count,
    coalesce(m.flagged_count, 0)::bigint AS flagged_count,
    coalesce(m.token_total, 0)::bigint AS token_total,
    coalesce(m.average_sentiment, 0)::double precision AS average_sentiment,
    coalesce(m.first_message_at, s.started_at)::timestamptz AS first_message_at,
    coalesce(m.last_message_at, s.started_at)::timestamptz AS last_message_at,
    coalesce(c.entry_count, 0)::bigint AS entry_count,
    coalesce(c.completed_count, 0)::bigint AS completed_count,
    coalesce(c.average_mood, 0)::double precision AS average_mood,
    coalesce(c.highest_distress, 0)::double precision AS highest_distress,
    coalesce(c.last_entry_at, s.started_at)::timestamptz AS last_entry_at
FROM sessions s
LEFT JOIN (
    SELECT
        session_id,
        user_id,
        count(*) AS message_count,
        count(*) FILTER (WHERE role = 'client') AS client_count,
        count(*) FILTER (WHERE flagged) AS flagged_count,
        sum(token_count) AS token_total,
        avg(sentiment) AS average_sentiment,
        min(created_at) AS first_message_at,
        max(created_at) AS last_message_at
    FROM messages
    WHERE messages.session_id = @session_id AND messages.user_id = @user_id
    GROUP BY session_id, user_id
) m ON m.session_id = s.id AND m.user_id = s.user_id
LEFT JOIN (
    SELECT
        session_id,
        user_id,
        count(*) AS entry_count,
        count(*) FILTER (WHERE completed) AS completed_count,
        avg((data ->> 'mood')::double precision) FILTER (WHERE jsonb_typeof(data -> 'mood') = 'number') AS average_mood,
        max(distress) AS highest_distress,
        max(updated_at) AS last_entry_at
    FROM cbt_entries
    WHERE cbt_entries.session_id = @session_id AND cbt_entries.user_id = @user_id
    GROUP BY session_id, user_id
) c ON c.session_id = s.id AND c.user_id = s.user_id
WHERE s.id = @session_id AND s.user_id = @user_id;

-- name: GetReport :one
-- GetReport returns a stored report of a session.
-- @cache report(user_id, session_id)
SELECT * FROM reports WHERE user_id = $1 AND session_id = $2 AND kind = $3;

-- name: ListReports :many
-- ListReports returns all stored reports of a session.
-- @cache report(user_id, session_id)
SELECT * FROM reports
WHERE user_id = $1 AND session_id = $2
ORDER BY generated_at DESC, kind;

-- name: ListReportsBySessions :many
-- ListReportsBySessions returns all stored reports of the given sessions, in no order.
-- @cache session_reports(session_ids)
SELECT * FROM reports WHERE session_id = ANY(@session_ids::uuid[]);

-- name: CreateReport :one
-- CreateReport stores a new report of a session.
INSERT INTO reports (session_id, user_id, kind, title, body, risk_score, token_total)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *;

-- name: SaveReport :one
-- SaveReport stores a report, or replaces the one of the same kind.
INSERT INTO reports (session_id, user_id, kind, title, body, risk_score, token_total)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (session_id, kind) DO UPDATE
SET title = excluded.title,
    body = excluded.body,
    risk_score = excluded.risk_score,
    token_total = excluded.token_total,
    revision = reports.revision + 1,
    generated_at = now(),
    signed_at = NULL
RETURNING *;

-- name: UpdateReport :one
-- UpdateReport changes a stored report.
UPDATE reports
SET title = $4, body = $5, risk_score = $6, revision = revision + 1, generated_at = now()
WHERE user_id = $1 AND session_id = $2 AND kind = $3
RETURNING *;

-- name: SignReport :exec
-- SignReport records when a therapist signed a report.
UPDATE reports SET signed_at = @signed_at::timestamptz
WHERE user_id = @user_id AND session_id = @session_id AND kind = @kind;

-- name: DeleteReport :execrows
-- DeleteReport removes a stored report and returns how many were there.
DELETE FROM reports WHERE user_id = $1 AND session_id = $2 AND kind = $3;
