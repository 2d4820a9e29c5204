-- name: GetTitle :one
-- @cache title(id)
SELECT id FROM titles WHERE id = $1;

-- name: GetTitleOf :one
-- @cache title(id)
SELECT id FROM titles_of WHERE id = $1;

-- name: GetOwner :one
-- @cache owner(user_id)
SELECT n FROM owners WHERE user_id = @user_id;

-- name: GetNode :one
-- @cache node(parent)
SELECT parent, label FROM nodes WHERE parent = @parent;

-- name: GetTwin :many
-- @cache twin(id)
SELECT n FROM twins WHERE id = $1;

-- name: GetTag :many
-- @cache tag(label)
SELECT id FROM tags WHERE label = $1;

-- name: MoveNode :exec
UPDATE nodes SET id = $2 WHERE id = $1;

-- name: SetBody :exec
UPDATE notes SET body = $2 WHERE id = $1;

-- name: SetBodyToItself :exec
UPDATE notes SET body = body WHERE id = $1;

-- name: DeleteNotes :exec
-- @invalidates none(title) "a note has no title"
DELETE FROM notes WHERE body = $1;

-- name: DeleteTag :one
DELETE FROM tags WHERE id = $1 RETURNING label;
