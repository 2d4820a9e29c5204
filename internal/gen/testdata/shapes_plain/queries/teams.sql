/* name: GetTeam :one */
-- @cache team(id)
SELECT * FROM teams WHERE id = $1;

-- name: ImportTeamNames :copyfrom
INSERT INTO teams (id) VALUES ($1);

-- name: CountTeams :one
-- CountTeams quotes a `name` and a "name".
SELECT count(*) AS "Total Teams", '`'::text AS tick FROM teams;

-- name: LogTeams :batchexec
INSERT INTO team_log (team_id, line) VALUES ($1, $2);
