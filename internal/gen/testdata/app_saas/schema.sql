-- A project tool for many tenants: every key begins with the tenant, and every
-- reference carries it, so that no row can point into another tenant.

CREATE TYPE plan AS ENUM ('free', 'team', 'enterprise');
CREATE TYPE task_state AS ENUM ('open', 'doing', 'done', 'dropped');
CREATE TYPE invite_state AS ENUM ('sent', 'accepted', 'revoked');

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL,
    plan plan NOT NULL DEFAULT 'free',
    seats int NOT NULL DEFAULT 5 CHECK (seats > 0),
    settings jsonb NOT NULL DEFAULT '{}',
    suspended_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE accounts (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text NOT NULL,
    is_admin boolean NOT NULL DEFAULT false,
    deactivated_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email)
);

CREATE TABLE invites (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    token text NOT NULL UNIQUE,
    state invite_state NOT NULL DEFAULT 'sent',
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE UNIQUE INDEX invites_open ON invites (tenant_id, email) WHERE state = 'sent';

CREATE TABLE projects (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    key text NOT NULL,
    name text NOT NULL,
    lead_id uuid,
    open_tasks int NOT NULL DEFAULT 0,
    archived_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key),
    FOREIGN KEY (tenant_id, lead_id) REFERENCES accounts (tenant_id, id) ON DELETE SET NULL (lead_id)
);

CREATE TABLE tasks (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    project_id uuid NOT NULL,
    number int NOT NULL,
    title text NOT NULL,
    body text NOT NULL DEFAULT '',
    state task_state NOT NULL DEFAULT 'open',
    assignee_id uuid,
    due_on date,
    labels text[] NOT NULL DEFAULT '{}',
    is_closed boolean GENERATED ALWAYS AS (state IN ('done', 'dropped')) STORED,
    deleted_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, project_id, number),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, assignee_id) REFERENCES accounts (tenant_id, id) ON DELETE SET NULL (assignee_id)
);

CREATE INDEX tasks_open ON tasks (tenant_id, assignee_id) WHERE deleted_at IS NULL AND state IN ('open', 'doing');

CREATE TABLE comments (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    task_id uuid NOT NULL,
    author_id uuid NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, author_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE task_watchers (
    tenant_id uuid NOT NULL,
    task_id uuid NOT NULL,
    account_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, task_id, account_id),
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, account_id) REFERENCES accounts (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE api_keys (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    digest bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL DEFAULT '{}',
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE feature_flags (
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    flag text NOT NULL,
    enabled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, flag)
);

CREATE TABLE usage_events (
    tenant_id uuid NOT NULL,
    metric text NOT NULL,
    amount bigint NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (happened_at);

CREATE TABLE usage_events_2025 PARTITION OF usage_events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE usage_events_later PARTITION OF usage_events DEFAULT;

CREATE VIEW open_tasks AS
SELECT tenant_id, id, project_id, number, title, state, assignee_id, due_on
FROM tasks
WHERE deleted_at IS NULL AND NOT is_closed;
