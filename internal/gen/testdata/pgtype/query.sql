-- name: GetTask :one
-- @cache task(id)
SELECT * FROM tasks WHERE id = $1;

-- name: ListTasks :many
-- @cache task_list(owner_id)
SELECT * FROM tasks WHERE owner_id = $1 ORDER BY title;

-- name: GetTaskBySlug :one
-- @cache task_slug(slug)
SELECT * FROM tasks WHERE slug = @slug::text;

-- name: ListDue :many
-- @cache due(due)
SELECT * FROM tasks WHERE due = $1 ORDER BY title;

-- name: CreateTask :one
INSERT INTO tasks (owner_id, slug, due, title) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: DeleteTasks :many
DELETE FROM tasks WHERE title = $1 RETURNING *;

-- name: ListTasksBySlug :many
-- @cache tasks_by_slug(slug)
SELECT title FROM tasks WHERE slug = @slug::text;
