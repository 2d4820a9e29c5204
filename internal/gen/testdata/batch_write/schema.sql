CREATE TABLE sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL,
    title text NOT NULL CHECK (title <> 'bad'),
    seen timestamptz
);
CREATE TABLE messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid REFERENCES sessions (id) DEFERRABLE INITIALLY DEFERRED,
    body text NOT NULL
);
