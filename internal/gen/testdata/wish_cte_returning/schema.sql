CREATE TABLE workspaces (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    owner_id bigint NOT NULL
);

CREATE TABLE workspace_members (
    workspace_id bigint NOT NULL,
    user_id bigint NOT NULL,
    role text NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
);

CREATE TABLE jobs (
    id bigint PRIMARY KEY,
    queue text NOT NULL,
    state text NOT NULL,
    attempts int NOT NULL
);

CREATE TABLE attempts (
    job_id bigint NOT NULL,
    attempt int NOT NULL,
    error text,
    PRIMARY KEY (job_id, attempt)
);

CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    held bigint NOT NULL,
    available bigint NOT NULL
);

CREATE TABLE holds (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account_id bigint NOT NULL,
    amount bigint NOT NULL
);
