CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    queue text NOT NULL,
    state text NOT NULL DEFAULT 'queued'
);

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    status text NOT NULL
);

CREATE TABLE payments (
    provider_ref text PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders (id),
    state text NOT NULL
);

CREATE TABLE invites (
    token text PRIMARY KEY,
    tenant_id uuid NOT NULL,
    email text NOT NULL,
    state text NOT NULL
);

CREATE TABLE members (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL,
    email text NOT NULL
);

CREATE TABLE tasks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id uuid NOT NULL,
    number int NOT NULL,
    title text NOT NULL
);
