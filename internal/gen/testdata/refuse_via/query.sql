-- name: NoTie :many
-- @cache a(id)
-- @via tags: SELECT id FROM sessions WHERE label = tags.label
SELECT s.id, t.note FROM sessions s JOIN tags t ON t.label = s.label WHERE s.id = $1;

-- name: NotNeeded :one
-- @cache b(id)
-- @via sessions: SELECT id FROM users WHERE id = sessions.user_id
SELECT * FROM sessions WHERE id = $1;

-- name: NotRead :one
-- @cache c(id)
-- @via tags: SELECT id FROM sessions WHERE label = tags.label
SELECT * FROM sessions WHERE id = $1;

-- name: Malformed :one
-- @cache d(id)
-- @via users SELECT id FROM sessions
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: NotASelect :one
-- @cache e(id)
-- @via users: DELETE FROM sessions WHERE user_id = users.id
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: Aggregated :one
-- @cache f(id)
-- @via users: SELECT max(id) FROM sessions WHERE user_id = users.id
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: OtherType :one
-- @cache g(id)
-- @via users: SELECT label FROM sessions WHERE user_id = users.id
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: TooMany :one
-- @cache h(id)
-- @via users: SELECT id, label FROM sessions WHERE user_id = users.id
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: Twice :one
-- @cache i(id)
-- @via users: SELECT id FROM sessions WHERE user_id = users.id
-- @via users: SELECT id FROM sessions WHERE user_id = users.id
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1;

-- name: Deferred :one
-- Deferred is tied by a foreign key that may be broken until the commit.
-- @cache j(id)
-- @via users: SELECT below.id FROM users below WHERE below.manager_id = users.id
SELECT b.id, u.name FROM users b JOIN users u ON u.id = b.manager_id WHERE b.id = $1;

-- name: Uncached :one
-- @via users: SELECT id FROM sessions WHERE user_id = users.id
SELECT * FROM sessions WHERE id = $1;

-- name: MoreThanColumns :one
-- MoreThanColumns would lock the sessions with that label alone, and another may come to have it.
-- @cache k(id)
-- @via users: SELECT id FROM sessions WHERE user_id = users.id AND label = 'x'
SELECT s.id, u.name FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.label = 'x';

-- name: OtherWay :one
-- OtherWay shows two users, and only one of them is found by the sessions' users.
-- @cache l(id)
-- @via users: SELECT id FROM sessions WHERE user_id = users.id
SELECT s.id, u.name, m.name AS by FROM sessions s JOIN users u ON u.id = s.user_id JOIN users m ON m.id = u.manager_id WHERE s.id = $1;
