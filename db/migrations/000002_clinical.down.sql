DROP TABLE reports;
DROP TABLE cbt_entries;
DROP TABLE messages;
DROP TABLE sessions;
DROP TYPE report_kind;
DROP TYPE cbt_kind;
DROP TYPE message_role;
DROP TYPE session_status;
