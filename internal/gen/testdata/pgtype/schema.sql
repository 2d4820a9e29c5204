CREATE TABLE tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner_id uuid,
    slug text UNIQUE,
    due date NOT NULL,
    title text NOT NULL
);
