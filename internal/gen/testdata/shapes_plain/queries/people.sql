-- name: GetPerson :one
-- GetPerson returns a person.
--
-- The second paragraph has a list:
--   - one
--   - two
-- @cache person(id)
SELECT * FROM people WHERE id = $1;

-- name: GetID :one
-- GetID scans into its own argument.
-- @cache person(id)
SELECT id FROM people WHERE id = $1;

-- name: ListPeople :many
-- @cache team_people(team_id)
SELECT * FROM people WHERE team_id = @team_id AND full_name LIKE @pattern ORDER BY id;

-- name: ListNicks :many
-- @cache team_people(team_id)
SELECT nick FROM people WHERE team_id = $1 ORDER BY id;

-- name: ListByID :many
-- @cache person(ids)
SELECT * FROM people WHERE id = ANY(@ids::bigint[]);

-- name: AddPerson :one
INSERT INTO people (team_id, full_name, nick) VALUES ($1, $2, $3) RETURNING *;

-- name: SetNick :exec
UPDATE people SET nick = $1 WHERE id = $2 AND team_id = $3;

-- name: SetBorn :execrows
UPDATE people SET born = $1 WHERE id = $2 AND team_id = $3;

-- name: Rename :execresult
UPDATE people SET full_name = $1 WHERE id = $2 AND team_id = $3;

-- name: RemovePeople :many
DELETE FROM people WHERE team_id = $1 RETURNING id;

-- name: ImportPeople :copyfrom
INSERT INTO people (id, team_id, full_name) VALUES ($1, $2, $3);

-- name: FindPeople :batchone
SELECT * FROM people WHERE full_name = $1;

-- name: FindTeams :batchmany
SELECT id, full_name FROM people WHERE team_id = $1;
