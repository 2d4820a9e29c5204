-- name: GetAuthConfig :one
-- GetAuthConfig returns how a person signs in.
-- @cache auth_config(user_id) ttl=5m
SELECT * FROM auth_configs WHERE user_id = $1;

-- name: ListAuthConfigsByUsers :many
-- ListAuthConfigsByUsers returns the settings of those of the given people who have any, in no order.
-- @cache auth_config(user_ids)
SELECT * FROM auth_configs WHERE user_id = ANY(@user_ids::uuid[]);

-- name: ListAuthConfigsWithoutMFA :many
-- ListAuthConfigsWithoutMFA returns a page of the settings without a second factor, for an administrator. Not cached:
-- no key would tell when it changes.
SELECT * FROM auth_configs
WHERE NOT mfa_enabled
ORDER BY user_id
LIMIT $1 OFFSET $2;

-- name: CreateAuthConfig :one
-- CreateAuthConfig stores how a person signs in.
INSERT INTO auth_configs (user_id, mfa_enabled, mfa_method, allowed_methods, session_minutes)
VALUES ($1, $2, $3, $4, $5)
RETURNING *;

-- name: SaveAuthConfig :one
-- SaveAuthConfig stores how a person signs in, new or not.
INSERT INTO auth_configs (user_id, mfa_enabled, mfa_method, allowed_methods, session_minutes)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id) DO UPDATE
SET mfa_enabled = excluded.mfa_enabled,
    mfa_method = excluded.mfa_method,
    allowed_methods = excluded.allowed_methods,
    session_minutes = excluded.session_minutes,
    updated_at = now()
RETURNING *;

-- name: UpdateAuthConfig :one
-- UpdateAuthConfig changes how a person signs in.
UPDATE auth_configs
SET mfa_enabled = $2, mfa_method = $3, allowed_methods = $4, session_minutes = $5, updated_at = now()
WHERE user_id = $1
RETURNING *;

-- name: RecordFailedLogin :exec
-- RecordFailedLogin counts a wrong password and may lock the account until the given time.
UPDATE auth_configs
SET failed_attempts = failed_attempts + 1, locked_until = sqlc.narg(locked_until)::timestamptz, updated_at = now()
WHERE user_id = @user_id;

-- name: DeleteAuthConfig :execrows
-- DeleteAuthConfig removes a person's settings and returns how many were there.
DELETE FROM auth_configs WHERE user_id = $1;
