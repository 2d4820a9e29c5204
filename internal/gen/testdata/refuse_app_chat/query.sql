-- name: GetUser :one
-- @cache user(id) ttl=1h
SELECT * FROM users WHERE id = $1;

-- name: GetRole :one
-- @cache membership(workspace_id, user_id) ttl=5m mode=strict
SELECT role FROM workspace_members WHERE workspace_id = $1 AND user_id = $2;

-- name: ListMembers :many
-- @cache workspace_members(workspace_id)
SELECT u.id, u.handle, u.display_name, m.role
FROM workspace_members m
JOIN users u ON u.id = m.user_id
WHERE m.workspace_id = $1
ORDER BY u.handle;

-- name: GetChannel :one
-- @cache channel(id)
SELECT * FROM channels WHERE id = $1;

-- name: ListMyChannels :many
-- ListMyChannels is the side bar: the channels of a user with the unread counts.
-- @cache sidebar(user_id) ttl=10m
SELECT c.id, c.name, c.kind, m.unread, m.muted
FROM channel_members m
JOIN channels c ON c.id = m.channel_id
WHERE m.user_id = $1 AND c.archived_at IS NULL
ORDER BY c.name;

-- name: CountUnread :one
-- @cache unread(user_id)
SELECT coalesce(sum(unread), 0)::bigint FROM channel_members WHERE user_id = $1 AND NOT muted;

-- name: ListMessages :many
-- @cache channel_messages(channel_id)
SELECT id, author_id, body, created_at
FROM live_messages
WHERE channel_id = @channel_id AND parent_id IS NULL AND id < @before
ORDER BY id DESC
LIMIT @page_size;

-- name: GetMessage :one
-- @cache message(id)
SELECT * FROM messages WHERE id = $1 AND deleted_at IS NULL;

-- name: ListThread :many
-- @cache thread(parent_id)
SELECT * FROM messages WHERE parent_id = $1 AND deleted_at IS NULL ORDER BY id;

-- name: ListReactions :many
-- @cache message(message_id)
SELECT emoji, count(*) AS total, array_agg(user_id ORDER BY created_at)::bigint[] AS users
FROM reactions
WHERE message_id = $1
GROUP BY emoji
ORDER BY total DESC, emoji;

-- name: ListPins :many
-- @cache pins(channel_id)
SELECT m.id, m.body, p.pinned_by
FROM pins p
JOIN messages m ON m.id = p.message_id
WHERE p.channel_id = $1
ORDER BY m.id;

-- name: OnlineUsers :many
-- @cache online(workspace_id)
SELECT u.id
FROM workspace_members m
JOIN users u ON u.id = m.user_id
WHERE m.workspace_id = $1 AND u.last_seen_at > now() - interval '5 minutes';

-- name: DirectChannel :one
-- DirectChannel finds the channel of two users, whichever of them asks.
-- @cache direct(user_a, user_b)
SELECT c.id
FROM channels c
WHERE c.kind = 'direct'
    AND EXISTS (SELECT 1 FROM channel_members m WHERE m.channel_id = c.id AND m.user_id = @user_a)
    AND EXISTS (SELECT 1 FROM channel_members m WHERE m.channel_id = c.id AND m.user_id = @user_b);

-- name: LatestPerChannel :many
-- @cache latest(channel_ids)
SELECT DISTINCT ON (channel_id) * FROM messages WHERE channel_id = ANY(@channel_ids::bigint[]) ORDER BY channel_id, id DESC;

-- name: MyMentions :many
-- @cache mentions(handle)
SELECT id, body FROM live_messages WHERE body LIKE '%@' || @handle::text || '%' ORDER BY id DESC LIMIT 20;

-- name: AddMember :one
INSERT INTO workspace_members (workspace_id, user_id, role) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role
RETURNING *;

-- name: RemoveMember :execrows
DELETE FROM workspace_members WHERE workspace_id = $1 AND user_id = $2;

-- name: SetTopic :one
UPDATE channels SET topic = $2 WHERE id = $1 RETURNING *;

-- name: MarkRead :execrows
UPDATE channel_members SET unread = 0, last_read_id = @last_read_id WHERE channel_id = @channel_id AND user_id = @user_id;

-- name: EditMessage :one
UPDATE messages SET body = @body, edited_at = now() WHERE id = @id AND author_id = @author_id RETURNING *;

-- name: DeleteMessage :one
UPDATE messages SET deleted_at = now() WHERE id = $1 RETURNING id, channel_id, parent_id;

-- name: React :exec
INSERT INTO reactions (message_id, user_id, emoji) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: LeaveChannel :exec
DELETE FROM channel_members WHERE channel_id = $1 AND user_id = $2;

-- name: DeleteUser :one
DELETE FROM users WHERE id = $1 RETURNING id, handle;

-- name: PurgeMessages :many
DELETE FROM messages WHERE deleted_at < now() - interval '30 days' RETURNING id, channel_id, parent_id;

-- name: DeleteChannel :one
DELETE FROM channels WHERE id = $1 RETURNING id, workspace_id, name;

-- name: PostMessage :one
INSERT INTO messages (channel_id, author_id, parent_id, body) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: MoveThread :many
UPDATE messages SET channel_id = @channel_id WHERE parent_id = @parent_id RETURNING id, channel_id;

-- name: UnmuteAll :execrows
UPDATE channel_members SET muted = false WHERE channel_id = $1 AND muted;
