CREATE TYPE prompt_category AS ENUM ('grounding', 'reframing', 'activation', 'sleep', 'crisis');

CREATE TABLE therapy_prompts (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug        text NOT NULL UNIQUE,
    category    prompt_category NOT NULL,
    locale      text NOT NULL DEFAULT 'en',
    title       text NOT NULL,
    body        text NOT NULL,
    author_id   uuid,
    version     integer NOT NULL DEFAULT 1,
    weight      double precision NOT NULL DEFAULT 1,
    uses        bigint NOT NULL DEFAULT 0,
    active      boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    archived_at timestamptz
);
