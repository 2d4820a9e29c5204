-- name: GetUser :one
-- @cache user(id) ttl=1h
SELECT * FROM users WHERE id = $1;

-- name: GetUserByHandle :one
-- @cache user_handle(handle) ttl=1h
SELECT id, handle, display_name, avatar_url FROM users WHERE handle = $1;

-- name: ListUsers :many
-- @cache user(ids)
SELECT * FROM users WHERE id = ANY(@ids::bigint[]);

-- name: GetWorkspaceBySlug :one
-- @cache workspace_slug(slug)
SELECT * FROM workspaces WHERE slug = $1;

-- name: GetRole :one
-- @cache membership(workspace_id, user_id) ttl=5m mode=strict
SELECT role FROM workspace_members WHERE workspace_id = $1 AND user_id = $2;

-- name: ListMembers :many
-- @cache workspace_members(workspace_id)
-- @stale-ok users
SELECT u.id, u.handle, u.display_name, m.role
FROM workspace_members m
JOIN users u ON u.id = m.user_id
WHERE m.workspace_id = $1
ORDER BY u.handle;

-- name: GetChannel :one
-- @cache channel(id)
SELECT * FROM channels WHERE id = $1;

-- name: GetChannelByName :one
-- @cache channel_name(workspace_id, name)
SELECT id, kind, topic FROM channels WHERE workspace_id = $1 AND name = $2 AND archived_at IS NULL;

-- name: ListMyChannels :many
-- ListMyChannels is the side bar: the channels of a user with the unread counts.
-- @cache sidebar(user_id) ttl=1m
-- @stale-ok channels
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

-- name: ListMessagesWithAuthors :many
-- @cache channel_messages(channel_id)
-- @stale-ok users
SELECT sqlc.embed(m), u.handle, u.avatar_url
FROM messages m
JOIN users u ON u.id = m.author_id
WHERE m.channel_id = $1 AND m.deleted_at IS NULL
ORDER BY m.id DESC
LIMIT 50;

-- name: GetMessage :one
-- @cache message(id)
SELECT * FROM messages WHERE id = $1 AND deleted_at IS NULL;

-- name: ListThread :many
-- @cache thread(parent_id)
SELECT * FROM messages WHERE parent_id = $1 AND deleted_at IS NULL ORDER BY id;

-- name: CountReplies :one
-- @cache thread(parent_id)
SELECT count(*) FROM live_messages WHERE parent_id = $1;

-- name: ListReactions :many
-- @cache message(message_id)
SELECT emoji, count(*) AS total, array_agg(user_id ORDER BY created_at)::bigint[] AS users
FROM reactions
WHERE message_id = $1
GROUP BY emoji
ORDER BY total DESC, emoji;

-- name: ListAttachments :many
-- @cache message(message_id)
SELECT id, file_name, size, meta FROM attachments WHERE message_id = $1 ORDER BY file_name;

-- name: ListPins :many
-- @cache pins(channel_id)
SELECT message_id, pinned_by FROM pins WHERE channel_id = $1 ORDER BY message_id;

-- name: SearchMessages :many
SELECT id, channel_id, body, ts_rank(search, query) AS rank
FROM messages, plainto_tsquery('english', @q) query
WHERE channel_id = ANY(@channel_ids::bigint[]) AND search @@ query AND deleted_at IS NULL
ORDER BY rank DESC
LIMIT 20;

-- name: CreateUser :one
INSERT INTO users (handle, display_name) VALUES ($1, $2) RETURNING *;

-- name: AddMember :one
INSERT INTO workspace_members (workspace_id, user_id, role) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role
RETURNING *;

-- name: RemoveMember :execrows
DELETE FROM workspace_members WHERE workspace_id = $1 AND user_id = $2;

-- name: CreateChannel :one
INSERT INTO channels (workspace_id, kind, name, topic) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: SetTopic :one
UPDATE channels SET topic = $2 WHERE id = $1 RETURNING *;

-- name: ArchiveChannel :one
UPDATE channels SET archived_at = now() WHERE id = $1 AND archived_at IS NULL RETURNING id, workspace_id, name;

-- name: JoinChannels :many
INSERT INTO channel_members (channel_id, user_id)
SELECT unnest(@channel_ids::bigint[]), @user_id
ON CONFLICT DO NOTHING
RETURNING *;

-- name: LeaveChannel :exec
DELETE FROM channel_members WHERE channel_id = $1 AND user_id = $2;

-- name: MarkRead :execrows
UPDATE channel_members SET unread = 0, last_read_id = @last_read_id WHERE channel_id = @channel_id AND user_id = @user_id;

-- name: MarkAllRead :execrows
UPDATE channel_members SET unread = 0 WHERE user_id = $1 AND unread > 0;

-- name: EditMessage :one
UPDATE messages SET body = @body, edited_at = now() WHERE id = @id AND author_id = @author_id RETURNING *;

-- name: DeleteMessage :one
UPDATE messages SET deleted_at = now() WHERE id = $1 RETURNING id, channel_id, parent_id;

-- name: React :exec
INSERT INTO reactions (message_id, user_id, emoji) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: Unreact :execrows
DELETE FROM reactions WHERE message_id = $1 AND user_id = $2 AND emoji = $3;

-- name: ReactMany :copyfrom
INSERT INTO reactions (message_id, user_id, emoji) VALUES ($1, $2, $3);

-- name: AttachFiles :copyfrom
INSERT INTO attachments (id, message_id, file_name, size) VALUES ($1, $2, $3, $4);

-- name: UnpinMessage :exec
DELETE FROM pins WHERE channel_id = $1 AND message_id = $2;

-- name: LogDelivery :batchexec
INSERT INTO delivery_log (message_id, user_id) VALUES ($1, $2);

-- name: PinMessage :exec
INSERT INTO pins (channel_id, message_id, pinned_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: CreateWorkspace :one
INSERT INTO workspaces (slug, name, owner_id) VALUES ($1, $2, $3) RETURNING *;

-- name: EmptyChannel :many
-- EmptyChannel deletes the messages of a channel. The replies to them are in the same channel, and so among the rows.
-- @invalidates message(id)
-- @invalidates thread(parent_id)
-- @invalidates channel_messages(channel_id)
-- @invalidates none(pins) "its pins are deleted with UnpinAll, before"
DELETE FROM messages WHERE channel_id = $1 RETURNING id, channel_id, parent_id;

-- name: UnpinAll :execrows
DELETE FROM pins WHERE channel_id = $1;

-- name: BusiestChannels :many
-- BusiestChannels is cached for a workspace; its counters are those of the channels.
-- @cache workspace_channels(workspace_id)
SELECT id, name, message_count, rank() OVER (ORDER BY message_count DESC) AS place
FROM channels
WHERE workspace_id = $1 AND archived_at IS NULL
ORDER BY place, id
LIMIT 10;
