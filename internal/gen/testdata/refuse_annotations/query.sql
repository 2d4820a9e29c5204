-- name: Malformed :one
-- @cache session id
SELECT * FROM sessions WHERE id = $1;

-- name: Unknown :one
-- @cached session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: UnknownOption :one
-- @cache session(id) size=3
SELECT * FROM sessions WHERE id = $1;

-- name: OptionWithoutValue :one
-- @cache session(id) ttl
SELECT * FROM sessions WHERE id = $1;

-- name: OptionTwice :one
-- @cache session(id) ttl=1m ttl=2m
SELECT * FROM sessions WHERE id = $1;

-- name: BadTTL :one
-- @cache session(id) ttl=30
SELECT * FROM sessions WHERE id = $1;

-- name: BadMode :one
-- @cache session(id) mode=fast
SELECT * FROM sessions WHERE id = $1;

-- name: BadNegative :one
-- @cache session(id) negative=no
SELECT * FROM sessions WHERE id = $1;

-- name: Near :one
-- @cache session(id) near=0s
SELECT * FROM sessions WHERE id = $1;

-- name: NoKey :one
-- @cache session()
SELECT * FROM sessions WHERE id = $1;

-- name: FourKeys :one
-- @cache session(a, b, c, d)
SELECT * FROM sessions WHERE id = $1;

-- name: NotAName :one
-- @cache session(id, 3)
SELECT * FROM sessions WHERE id = $1;

-- name: TwoCaches :one
-- @cache session(id)
-- @cache other(id)
SELECT * FROM sessions WHERE id = $1;

-- name: NoSuchParameter :one
-- @cache session(uid)
SELECT * FROM sessions WHERE id = $1 AND user_id = $2;

-- name: Unnamed :many
-- @cache session(ids)
SELECT * FROM sessions WHERE id = ANY($1::uuid[]);

-- name: SameParameter :one
-- @cache pair(id, id)
SELECT * FROM sessions WHERE id = $1;

-- name: CachedWrite :one
-- @cache session(id)
UPDATE sessions SET title = $2 WHERE id = $1 RETURNING *;

-- name: CachedExec :exec
-- @cache session(id)
SELECT * FROM sessions WHERE id = $1;

-- name: Via :one
-- @via sessions: SELECT 1
SELECT * FROM sessions WHERE id = $1;

-- name: StaleWithoutCache :one
-- @stale-ok sessions
SELECT * FROM sessions WHERE id = $1;

-- name: StaleNothing :one
-- @cache stale(id)
-- @stale-ok
SELECT * FROM sessions WHERE id = $1;

-- name: StaleTwice :one
-- @cache stale(id)
-- @stale-ok messages messages
SELECT s.* FROM sessions s WHERE s.id = $1 AND EXISTS (SELECT 1 FROM messages);

-- name: StaleUnknown :one
-- @cache stale(id)
-- @stale-ok persons
SELECT * FROM sessions WHERE id = $1;

-- name: StaleUnread :one
-- @cache stale(id)
-- @stale-ok messages
SELECT * FROM sessions WHERE id = $1;

-- name: InvalidatesOnRead :one
-- @invalidates stale(id)
SELECT * FROM sessions WHERE id = $1;

-- name: InvalidatesUnknownGroup :exec
-- @invalidates nothing(id)
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesArity :exec
-- @invalidates stale(id, id)
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesExpr :exec
-- @invalidates stale(session)
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesType :exec
-- @invalidates stale(body)
UPDATE messages SET body = $2 WHERE id = $1;

-- name: InvalidatesFirstOnly :one
-- @invalidates stale(session_id)
UPDATE messages SET body = '' WHERE likes = 0 RETURNING session_id;

-- name: InvalidatesNoReason :exec
-- @invalidates none(stale)
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesEmptyReason :exec
-- @invalidates none(stale) " "
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesMalformed :exec
-- @invalidates stale
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesTwice :exec
-- @invalidates stale(id)
-- @invalidates stale(id)
UPDATE messages SET body = '' WHERE id = $1;

-- name: InvalidatesBoth :exec
-- @invalidates stale(id)
-- @invalidates none(stale) "or not"
UPDATE messages SET body = '' WHERE id = $1;

-- name: Trailing :one
SELECT * FROM sessions WHERE id = $1; -- @cache session(id)
