-- name: GetItem :one
-- @cache item(tag, state)
SELECT * FROM app.items WHERE (tag, state) = (@tag::text, @state::app.state);

-- name: AddItem :exec
-- AddItem has parameters to which sqlc gives no type; the case spelling has it with casts.
INSERT INTO app.items (tag, state) VALUES ($1, $2);

-- name: GetUntyped :one
-- @cache item(tag, state)
SELECT * FROM app.items WHERE tag = $1 AND state = $2;
