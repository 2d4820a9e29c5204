-- The row that everything is measured with: ten fields, about 767 bytes as JSON.
CREATE TABLE items (
    id         uuid PRIMARY KEY,
    owner_id   uuid NOT NULL,
    title      text NOT NULL,
    status     text NOT NULL,
    body       text NOT NULL,
    metadata   jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL
);
