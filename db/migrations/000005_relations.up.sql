-- Foreign keys and secondary indexes stand in a migration of their own, after the tables: a bulk load between
-- version 4 and 5 (the demo does one) builds every index once and checks every reference once.

-- A session belongs to one person; its parts name both, and go with it.
ALTER TABLE sessions
    ADD CONSTRAINT sessions_id_user_id_key UNIQUE (id, user_id),
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE RESTRICT;
ALTER TABLE messages
    ADD CONSTRAINT messages_session_fkey FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id) ON DELETE CASCADE;
ALTER TABLE cbt_entries
    ADD CONSTRAINT cbt_entries_session_fkey FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id) ON DELETE CASCADE;
ALTER TABLE reports
    ADD CONSTRAINT reports_session_fkey FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id) ON DELETE CASCADE;

-- A person's account: the settings go with the person; devices and logins are removed first, in the same transaction.
ALTER TABLE devices
    ADD CONSTRAINT devices_id_user_id_key UNIQUE (id, user_id),
    ADD CONSTRAINT devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE RESTRICT;
ALTER TABLE user_sessions
    ADD CONSTRAINT user_sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE RESTRICT,
    ADD CONSTRAINT user_sessions_device_fkey FOREIGN KEY (device_id, user_id) REFERENCES devices (id, user_id) ON DELETE RESTRICT;
ALTER TABLE auth_configs
    ADD CONSTRAINT auth_configs_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
ALTER TABLE therapy_prompts
    ADD CONSTRAINT therapy_prompts_author_id_fkey FOREIGN KEY (author_id) REFERENCES users (id) ON DELETE RESTRICT;

CREATE INDEX sessions_user_id_idx ON sessions (user_id, started_at DESC, id DESC);
CREATE INDEX messages_session_id_idx ON messages (session_id, created_at DESC, id DESC);
CREATE INDEX messages_flagged_idx ON messages (created_at DESC) WHERE flagged;
CREATE INDEX cbt_entries_session_id_idx ON cbt_entries (session_id, created_at DESC, id DESC);
CREATE INDEX devices_user_id_idx ON devices (user_id);
CREATE INDEX user_sessions_user_id_idx ON user_sessions (user_id);
CREATE INDEX user_sessions_device_id_idx ON user_sessions (device_id);
CREATE INDEX user_sessions_expires_at_idx ON user_sessions (expires_at);
CREATE INDEX therapy_prompts_category_idx ON therapy_prompts (category, locale);
CREATE INDEX therapy_prompts_author_id_idx ON therapy_prompts (author_id);
