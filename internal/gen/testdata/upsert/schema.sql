CREATE TABLE settings (
    user_id uuid NOT NULL,
    name text NOT NULL,
    value text NOT NULL,
    tag text NOT NULL DEFAULT 'none',
    CONSTRAINT settings_once PRIMARY KEY (user_id, name)
);
