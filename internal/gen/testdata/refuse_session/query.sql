-- name: CurrentUser :one
-- @cache s(id)
SELECT title FROM sessions WHERE id = $1 AND title = current_user;

-- name: SessionUser :one
-- @cache s(id)
SELECT title FROM sessions WHERE id = $1 AND title = session_user;

-- name: Setting :one
-- @cache s(id)
SELECT title FROM sessions WHERE id = $1 AND title = current_setting('app.tenant');

-- name: RowSecurity :one
-- @cache s(id)
SELECT * FROM secrets WHERE id = $1;

-- name: Temporary :one
-- @cache s(id)
SELECT * FROM scratch WHERE id = $1;

-- name: TwoSchemas :one
-- @cache s(id)
SELECT * FROM twin WHERE id = $1;

-- name: Materialized :one
-- @cache s(id)
SELECT title FROM summary WHERE id = $1;
