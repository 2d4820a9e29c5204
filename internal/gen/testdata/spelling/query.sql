-- name: GetSession :one
--    @cache   session( id )   ttl=1m
-- GetSession has CRLF, blanks and capitals.
SELECT * FROM "Sessions" WHERE id = $1;

-- name: ListByUser :many
--@cache sessions(user_id)
SELECT * FROM public."Sessions" s WHERE s."userId" = @user_id ORDER BY s.id;

-- name: SetTitle :one
UPDATE "Sessions" SET title = $2 WHERE id = $1 RETURNING id, "userId";

-- name: GetItem :one
-- @cache item(tag, state)
SELECT * FROM app.items WHERE (tag, state) = (@tag::text, @state::app.state);

-- name: AddItem :exec
INSERT INTO app.items (tag, state) VALUES ($1::text, $2::app.state);

-- name: CloseItem :exec
UPDATE app.items SET state = 'off' WHERE tag = $1::text AND state = 'on';
