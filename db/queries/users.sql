-- name: GetUser :one
-- GetUser returns one person by ID. People are not cached: they are read rarely, and must be true at once.
SELECT * FROM users WHERE id = $1;

-- name: GetUserByEmail :one
-- GetUserByEmail returns one person by e-mail address, for the login page.
SELECT * FROM users WHERE email = $1;

-- name: ListUsers :many
-- ListUsers returns a page of everyone, newest first.
SELECT * FROM users ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2;

-- name: ListUsersByIDs :many
-- ListUsersByIDs returns those of the given people who exist, in no order.
SELECT * FROM users WHERE id = ANY(@ids::uuid[]);

-- name: CountUsers :one
-- CountUsers returns how many people there are.
SELECT count(*) FROM users;

-- name: CreateUser :one
-- CreateUser adds a person.
INSERT INTO users (email, display_name, role, locale)
VALUES ($1, $2, $3, $4)
RETURNING *;

-- name: UpdateUser :one
-- UpdateUser changes how a person is shown. No cached entry depends on it, except the author names that
-- ListTherapyPrompts may show for a while longer.
UPDATE users SET display_name = $2, locale = $3, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: DeleteUser :execrows
-- DeleteUser removes a person and the person's settings. Sessions, devices and logins must be removed first, in the
-- same transaction: DeleteUserSessionsOfUser, DeleteDevicesOfUser, DeleteSessionsOfUser.
DELETE FROM users WHERE id = $1;
