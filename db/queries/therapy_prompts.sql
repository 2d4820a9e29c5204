-- name: GetTherapyPrompt :one
-- GetTherapyPrompt returns one prompt.
-- @cache prompt(id) ttl=24h
SELECT * FROM therapy_prompts WHERE id = $1;

-- name: ListTherapyPromptsByIDs :many
-- ListTherapyPromptsByIDs returns those of the given prompts that exist, in no order.
-- @cache prompt(ids)
SELECT * FROM therapy_prompts WHERE id = ANY(@ids::uuid[]);

-- name: ListTherapyPrompts :many
-- ListTherapyPrompts returns the active prompts of a category in a language, with the names of their authors. An author
-- who changes the name is shown under the old one until the entry ends.
-- @cache prompt_list(category, locale)
-- @stale-ok users
SELECT p.id, p.slug, p.category, p.locale, p.title, p.version, p.weight, p.updated_at, u.display_name AS author_name
FROM therapy_prompts p
LEFT JOIN users u ON u.id = p.author_id
WHERE p.category = $1 AND p.locale = $2 AND p.active
ORDER BY p.weight DESC, p.slug;

-- name: GetTherapyPromptBySlug :one
-- GetTherapyPromptBySlug returns one prompt by its name in links. Not cached.
SELECT * FROM therapy_prompts WHERE slug = $1;

-- name: CreateTherapyPrompt :one
-- CreateTherapyPrompt adds a prompt.
INSERT INTO therapy_prompts (slug, category, locale, title, body, author_id, weight)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *;

-- name: UpdateTherapyPrompt :one
-- UpdateTherapyPrompt writes a new version of a prompt.
UPDATE therapy_prompts
SET title = $2, body = $3, weight = $4, active = $5, version = version + 1, updated_at = now()
WHERE id = $1
RETURNING *;

-- name: CountTherapyPromptUse :one
-- CountTherapyPromptUse adds one to the number of times that a prompt was used, and returns the row.
UPDATE therapy_prompts SET uses = uses + 1 WHERE id = $1 RETURNING *;

-- name: DeleteTherapyPrompt :one
-- DeleteTherapyPrompt removes a prompt and returns it.
DELETE FROM therapy_prompts WHERE id = $1 RETURNING *;
