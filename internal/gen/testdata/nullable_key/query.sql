-- name: ListTasks :many
-- @cache task_list(owner_id)
SELECT * FROM tasks WHERE owner_id = @owner_id::uuid ORDER BY title;

-- name: ListTasksOrNone :many
-- @cache owned(owner_id)
SELECT * FROM tasks WHERE owner_id = sqlc.narg(owner_id);

-- name: CreateTask :one
INSERT INTO tasks (owner_id, title) VALUES ($1, $2) RETURNING *;

-- name: CreateFreeTask :exec
-- CreateFreeTask makes a task that nobody owns: NULL equals nothing, so no entry changes.
INSERT INTO tasks (title) VALUES ($1);

-- name: GiveAway :one
UPDATE tasks SET owner_id = NULL WHERE id = $1 AND owner_id = @old_owner::uuid RETURNING *;

-- name: Rename :many
UPDATE tasks SET title = $1 WHERE title = $2 RETURNING *;
