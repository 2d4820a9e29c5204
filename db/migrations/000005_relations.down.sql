DROP INDEX therapy_prompts_author_id_idx;
DROP INDEX therapy_prompts_category_idx;
DROP INDEX user_sessions_expires_at_idx;
DROP INDEX user_sessions_device_id_idx;
DROP INDEX user_sessions_user_id_idx;
DROP INDEX devices_user_id_idx;
DROP INDEX cbt_entries_session_id_idx;
DROP INDEX messages_flagged_idx;
DROP INDEX messages_session_id_idx;
DROP INDEX sessions_user_id_idx;

ALTER TABLE therapy_prompts DROP CONSTRAINT therapy_prompts_author_id_fkey;
ALTER TABLE auth_configs DROP CONSTRAINT auth_configs_user_id_fkey;
ALTER TABLE user_sessions DROP CONSTRAINT user_sessions_device_fkey, DROP CONSTRAINT user_sessions_user_id_fkey;
ALTER TABLE devices DROP CONSTRAINT devices_user_id_fkey, DROP CONSTRAINT devices_id_user_id_key;
ALTER TABLE reports DROP CONSTRAINT reports_session_fkey;
ALTER TABLE cbt_entries DROP CONSTRAINT cbt_entries_session_fkey;
ALTER TABLE messages DROP CONSTRAINT messages_session_fkey;
ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey, DROP CONSTRAINT sessions_id_user_id_key;
