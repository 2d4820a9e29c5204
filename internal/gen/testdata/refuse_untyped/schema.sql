CREATE TABLE "Sessions" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    "userId" uuid NOT NULL,
    title text NOT NULL
);
CREATE SCHEMA app;
CREATE DOMAIN app.tag AS text;
CREATE TYPE app.state AS ENUM ('on', 'off');
CREATE TABLE app.items (
    tag app.tag NOT NULL,
    state app.state NOT NULL,
    n int GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (tag, state)
);
