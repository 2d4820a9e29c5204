CREATE SCHEMA app;
CREATE SCHEMA billing;

CREATE TYPE app.role AS ENUM ('admin', 'member', '');
CREATE TYPE app.address AS (street text, city text);
CREATE DOMAIN app.slug AS text CHECK (VALUE <> '');

CREATE TABLE app.users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug app.slug NOT NULL UNIQUE,
    role app.role NOT NULL,
    former_role app.role,
    roles app.role[] NOT NULL DEFAULT '{}',
    home app.address,
    tags text[],
    scores int[] NOT NULL DEFAULT '{}',
    matrix float8[][],
    period tstzrange,
    wait interval,
    ratio numeric(6, 3),
    avatar bytea,
    mac macaddr,
    point point,
    bits bit(3),
    height real,
    birthday date,
    wake time,
    created timestamp NOT NULL DEFAULT now(),
    seen timestamptz,
    active bool,
    small smallint,
    doc xml,
    profile_url text,
    raw json
);

CREATE TABLE billing.users (
    id bigint PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES app.users (id) ON DELETE CASCADE,
    plan text NOT NULL
);

CREATE TABLE public.events (
    key bytea PRIMARY KEY,
    day date NOT NULL,
    at timestamptz NOT NULL,
    done bool NOT NULL,
    role app.role NOT NULL
);
