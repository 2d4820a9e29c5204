-- name: ListPostings :many
-- @cache postings(account_id)
SELECT * FROM postings WHERE account_id = $1 ORDER BY id;

-- name: AddPosting :one
INSERT INTO postings (account_id, amount) VALUES ($1, $2) RETURNING id;

-- name: AddPostings :copyfrom
INSERT INTO postings (account_id, amount) VALUES ($1, $2);

-- name: CorrectPosting :many
UPDATE postings SET amount = $2 WHERE id = $1 RETURNING account_id;

-- name: DropPostings :exec
DELETE FROM postings WHERE account_id = $1;
