-- name: GetUserSession :one
-- GetUserSession returns one login.
-- @cache user_session(id) ttl=10m
SELECT * FROM user_sessions WHERE id = $1;

-- name: ListUserSessionsByIDs :many
-- ListUserSessionsByIDs returns those of the given logins that exist, in no order.
-- @cache user_session(ids)
SELECT * FROM user_sessions WHERE id = ANY(@ids::uuid[]);

-- name: GetUserSessionByToken :one
-- GetUserSessionByToken returns the login that a request's token belongs to; it is asked on every request. Whether it
-- has expired or was revoked is for the caller to see: a result that depends on the clock could not be cached.
-- @cache user_session_token(token_hash)
SELECT * FROM user_sessions WHERE token_hash = $1;

-- name: ListUserSessions :many
-- ListUserSessions returns a person's logins with the names of the devices, newest first.
-- @cache user_session_list(user_id)
SELECT
    us.id, us.user_id, us.device_id, us.ip_address, us.created_at, us.last_seen_at, us.expires_at, us.revoked_at,
    d.name AS device_name
FROM user_sessions us
LEFT JOIN devices d ON d.id = us.device_id AND d.user_id = us.user_id
WHERE us.user_id = $1
ORDER BY us.created_at DESC, us.id DESC;

-- name: CreateUserSession :one
-- CreateUserSession records a login.
INSERT INTO user_sessions (user_id, device_id, token_hash, ip_address, user_agent, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING *;

-- name: UpdateUserSession :one
-- UpdateUserSession records that a login was used, and until when it is good.
UPDATE user_sessions
SET last_seen_at = $2, expires_at = $3, ip_address = $4
WHERE id = $1
RETURNING *;

-- name: RevokeUserSession :one
-- RevokeUserSession ends a login by its token.
UPDATE user_sessions SET revoked_at = now()
WHERE token_hash = $1
RETURNING *;

-- name: RevokeUserSessions :many
-- RevokeUserSessions ends all of a person's logins that have not ended yet.
UPDATE user_sessions SET revoked_at = now()
WHERE user_id = $1 AND revoked_at IS NULL
RETURNING *;

-- name: DeleteUserSession :one
-- DeleteUserSession removes a login and returns it.
DELETE FROM user_sessions WHERE id = $1 RETURNING *;

-- name: DeleteExpiredUserSessions :many
-- DeleteExpiredUserSessions removes the logins that ended before the given time.
DELETE FROM user_sessions WHERE expires_at < @before::timestamptz RETURNING id, user_id, token_hash;

-- name: DeleteUserSessionsOfDevice :many
-- DeleteUserSessionsOfDevice removes the logins of a device, so that the device can be removed.
DELETE FROM user_sessions WHERE device_id = @device_id::uuid RETURNING id, user_id, token_hash;

-- name: DeleteUserSessionsOfUser :many
-- DeleteUserSessionsOfUser removes all logins of a person.
DELETE FROM user_sessions WHERE user_id = $1 RETURNING id, user_id, token_hash;
