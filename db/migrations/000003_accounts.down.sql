DROP TABLE auth_configs;
DROP TABLE user_sessions;
DROP TABLE devices;
DROP TYPE mfa_method;
DROP TYPE device_platform;
