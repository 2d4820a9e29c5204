/* name: GetTeam :one */
-- @cache team(id)
SELECT * FROM teams WHERE id = $1;

-- name: ListTeamsByMood :many
-- @cache team_mood(mood)
SELECT * FROM teams WHERE mood = $1 ORDER BY id;

-- name: CountByMood :one
-- @cache team_count(mood)
SELECT count(*) FROM teams WHERE mood = @mood::mood;

-- name: ListByNullable :many
-- @cache team_state(active, size, code)
SELECT id, name FROM teams WHERE active = $1 AND size = $2 AND code = $3 ORDER BY id;

-- name: ListOpened :many
-- @cache team_opened(opened)
SELECT id FROM teams WHERE opened = $1;

-- name: CreateTeam :one
INSERT INTO teams (id, name, mood, active, size, code, opened) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *;

-- name: RenameTeam :one
UPDATE teams SET name = $2, moods = $3 WHERE id = $1 RETURNING mood, active, size, code;

-- name: Cheer :many
UPDATE teams SET mood = 'happy' WHERE mood = 'sad' RETURNING id;

-- name: DeleteTeams :many
DELETE FROM teams WHERE id = ANY(@ids::bigint[]) RETURNING *;

-- name: ImportLog :copyfrom
INSERT INTO team_log (line) VALUES ($1);

-- name: CountTeams :one
-- CountTeams quotes a `name` and a "name".
SELECT count(*) AS "Total Teams", '`'::text AS tick FROM teams;

-- name: LogTeams :batchexec
INSERT INTO team_log (team_id, line) VALUES ($1, $2);
