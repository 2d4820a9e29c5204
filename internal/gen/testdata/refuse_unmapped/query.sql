-- name: Or :many
-- @cache s(id)
SELECT * FROM sessions WHERE id = @id OR user_id = @id;

-- name: Not :many
-- @cache s(id)
SELECT * FROM sessions WHERE NOT (id = @id);

-- name: InCase :many
-- @cache s(id)
SELECT * FROM sessions WHERE CASE WHEN title = '' THEN id = @id ELSE true END;

-- name: NotDistinct :many
-- @cache s(id)
SELECT * FROM sessions WHERE id IS NOT DISTINCT FROM @id::uuid;

-- name: LeftJoinOtherSide :many
-- @cache s(id)
SELECT s.title, m.body FROM sessions s LEFT JOIN messages m ON m.session_id = s.id AND s.id = @id::uuid;

-- name: FullJoin :many
-- @cache s(id)
SELECT s.title, m.body FROM sessions s FULL JOIN messages m ON m.session_id = s.id WHERE s.id = @id::uuid;

-- name: JoinAway :many
-- @cache s(id)
SELECT s.title, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: SubSelectAlone :one
-- @cache s(id)
SELECT s.title, (SELECT count(*) FROM messages) AS n FROM sessions s WHERE s.id = $1;

-- name: LimitInside :many
-- @cache s(id)
SELECT x.body FROM (SELECT session_id, body FROM messages ORDER BY body LIMIT 10) x WHERE x.session_id = @id::uuid;

-- name: DistinctOnInside :many
-- @cache s(id)
SELECT x.body FROM (SELECT DISTINCT ON (body) session_id, body FROM messages ORDER BY body) x WHERE x.session_id = @id::uuid;

-- name: WindowInside :many
-- @cache s(id)
SELECT x.n FROM (SELECT session_id, row_number() OVER (ORDER BY body) AS n FROM messages) x WHERE x.session_id = @id::uuid;

-- name: UnionBranch :many
-- @cache s(id)
SELECT title FROM sessions WHERE id = @id::uuid UNION SELECT body FROM messages;

-- name: ThroughView :many
-- @cache s(id)
SELECT name FROM authors WHERE id = @id::uuid;

-- name: Natural :many
-- @cache s(id)
SELECT name FROM sessions s NATURAL JOIN users u WHERE s.id = @id::uuid;

-- name: CastAway :many
-- @cache code(code)
SELECT name FROM users WHERE code::text = @code::text;

-- name: Recursive :many
-- @cache s(id)
WITH RECURSIVE t AS (
    SELECT s.id, s.user_id FROM sessions s WHERE s.id = @id
    UNION ALL
    SELECT s.id, s.user_id FROM sessions s JOIN t ON t.user_id = s.user_id
)
SELECT t.id FROM t;

-- name: InsideNotExists :many
-- @cache s(id)
SELECT s.title FROM sessions s
WHERE NOT EXISTS (SELECT 1 FROM messages m WHERE s.id = @id::uuid AND m.session_id = s.id);
