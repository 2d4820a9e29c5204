-- name: InnerJoin :many
-- @cache s(id)
SELECT s.title, m.body FROM sessions s JOIN messages m ON m.session_id = s.id WHERE s.id = $1;

-- name: LeftJoin :many
-- @cache s(id)
SELECT s.title, m.body FROM sessions s LEFT JOIN messages m ON m.session_id = s.id AND m.body <> '' WHERE s.id = $1;

-- name: RightJoin :many
-- @cache s(id)
SELECT s.title, m.body FROM messages m RIGHT JOIN sessions s ON m.session_id = s.id WHERE s.id = $1;

-- name: FullJoin :many
-- @cache s(id)
SELECT m.body, n.body AS note FROM messages m FULL JOIN notes n ON n.id = m.id WHERE m.session_id = @id AND n.session_id = @id;

-- name: UsingJoin :many
-- @cache s(session_id)
SELECT m.body, n.body AS note FROM messages m JOIN notes n USING (session_id) WHERE session_id = @session_id::uuid;

-- name: WithCTE :many
-- @cache s(id)
WITH m AS (SELECT session_id, count(*) AS n FROM messages GROUP BY session_id)
SELECT s.title, m.n FROM sessions s JOIN m ON m.session_id = s.id WHERE s.id = $1;

-- name: FilteredInside :many
-- @cache s(id)
WITH m AS (SELECT * FROM messages WHERE session_id = @id ORDER BY body LIMIT 10)
SELECT m.body, s.title FROM m JOIN sessions s ON s.id = m.session_id;

-- name: SubSelects :many
-- @cache s(id)
SELECT s.title,
    (SELECT count(*) FROM messages m WHERE m.session_id = s.id) AS messages,
    EXISTS (SELECT 1 FROM notes n WHERE n.session_id = s.id) AS noted
FROM sessions s
WHERE s.id = $1 AND NOT EXISTS (SELECT 1 FROM notes n WHERE n.session_id = s.id AND n.body = '');

-- name: InSubSelect :many
-- @cache s(id)
SELECT m.body FROM messages m WHERE m.session_id IN (SELECT s.id FROM sessions s WHERE s.id = $1);

-- name: Unions :many
-- @cache s(id)
SELECT body FROM messages WHERE session_id = @id::uuid UNION ALL SELECT body FROM notes WHERE session_id = @id::uuid;

-- name: UnionInside :many
-- @cache s(id)
SELECT x.body FROM (SELECT session_id, body FROM messages UNION SELECT session_id, body FROM notes) x WHERE x.session_id = @id::uuid;

-- name: ReadView :many
-- @cache s(id)
SELECT words FROM talk2 WHERE session_id = @id::uuid;

-- name: LateralJoin :many
-- @cache s(id)
SELECT s.title, l.body FROM sessions s
LEFT JOIN LATERAL (SELECT m.body FROM messages m WHERE m.session_id = s.id ORDER BY m.id LIMIT 1) l ON true
WHERE s.id = $1;

-- name: RowEquality :many
-- @cache pair(user_id, id)
SELECT title FROM sessions WHERE (id, user_id) = (@id, @user_id);

-- name: AddMessage :exec
INSERT INTO messages (id, session_id, body) VALUES ($1, $2, $3);

-- name: AddNote :exec
INSERT INTO notes (id, session_id, body) VALUES ($1, $2, $3);

-- name: Retitle :one
UPDATE sessions SET title = $2 WHERE id = $1 RETURNING user_id;

-- name: DropTalk :exec
DELETE FROM messages m USING sessions s WHERE s.id = m.session_id AND s.id = $1;

-- name: Rewrite :exec
UPDATE messages m SET body = s.title FROM sessions s WHERE m.session_id = s.id AND s.id = @session_id;
