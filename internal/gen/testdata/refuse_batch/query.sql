-- name: Ordered :many
-- @cache s(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]) ORDER BY title;

-- name: Limited :many
-- @cache s(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]) LIMIT 10;

-- name: Distinct :many
-- @cache s(ids)
SELECT DISTINCT id FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: Grouped :many
-- @cache s(ids)
SELECT id, max(title)::text FROM sessions WHERE id = ANY(@ids::uuid[]) GROUP BY id;

-- name: Aggregated :many
-- @cache s(ids)
SELECT count(*) FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: Windowed :many
-- @cache s(ids)
SELECT id, row_number() OVER (PARTITION BY user_id) FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: United :many
-- @cache s(ids)
SELECT id FROM sessions WHERE id = ANY(@ids::uuid[]) UNION ALL SELECT id FROM sessions WHERE false;

-- name: WithoutKey :many
-- @cache s(ids)
SELECT title FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: One :one
-- @cache s(ids)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]);

-- name: UsedTwice :many
-- @cache s(ids)
SELECT s.id FROM sessions s JOIN messages m ON m.session_id = ANY(@ids::uuid[]) WHERE s.id = ANY(@ids::uuid[]);

-- name: Inside :many
-- @cache s(ids)
SELECT x.id FROM (SELECT id FROM sessions WHERE id = ANY(@ids::uuid[])) x;

-- name: Unchained :many
-- @cache s(ids)
SELECT s.id, m.body FROM sessions s JOIN messages m ON m.likes > 3 WHERE s.id = ANY(@ids::uuid[]);

-- name: TwoLists :many
-- @cache t(ids, titles)
SELECT * FROM sessions WHERE id = ANY(@ids::uuid[]) AND title = ANY(@titles::text[]);

-- name: KeyMayBeNull :many
-- @cache s(ids)
SELECT m.session_id, s.title FROM sessions s LEFT JOIN messages m ON m.session_id = s.id WHERE s.id = ANY(@ids::uuid[]);
