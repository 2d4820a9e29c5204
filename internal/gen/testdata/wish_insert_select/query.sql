-- name: ListPins :many
-- @cache pins(channel_id)
SELECT message_id, pinned_by FROM pins WHERE channel_id = $1;

-- name: ListTags :many
-- @cache job_tags(job_id)
SELECT tag FROM job_tags WHERE job_id = $1 ORDER BY tag;

-- name: GetPrice :one
-- @cache price(product_id)
SELECT cents FROM prices WHERE product_id = $1;

-- name: PinMessage :execrows
-- PinMessage inserts m.channel_id, which equals @channel_id.
INSERT INTO pins (channel_id, message_id, pinned_by)
SELECT m.channel_id, m.id, @pinned_by FROM messages m WHERE m.id = @message_id AND m.channel_id = @channel_id
ON CONFLICT DO NOTHING;

-- name: TagJobs :exec
-- TagJobs inserts the elements of a list.
INSERT INTO job_tags (job_id, tag) SELECT unnest(@job_ids::bigint[]), @tag ON CONFLICT DO NOTHING;

-- name: TagAll :exec
INSERT INTO job_tags (job_id, tag)
SELECT j.id, @tag FROM unnest(@job_ids::bigint[]) AS j (id)
ON CONFLICT DO NOTHING;

-- name: SetPrices :exec
-- SetPrices changes the rows of the list's elements.
UPDATE prices p SET cents = v.cents
FROM (SELECT unnest(@product_ids::bigint[]) AS product_id, unnest(@cents::bigint[]) AS cents) v
WHERE p.product_id = v.product_id;

-- name: DropPrices :execrows
DELETE FROM prices p USING unnest(@product_ids::bigint[]) AS v (id) WHERE p.product_id = v.id;
