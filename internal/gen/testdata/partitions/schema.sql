CREATE TABLE events (id uuid NOT NULL, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE links (
    id uuid NOT NULL,
    at date NOT NULL,
    label text NOT NULL,
    FOREIGN KEY (id, at) REFERENCES events (id, at) ON DELETE CASCADE
);
CREATE TABLE animals (id uuid PRIMARY KEY);
CREATE TABLE cats (lives int NOT NULL) INHERITS (animals);
CREATE TABLE others (id uuid PRIMARY KEY, label text NOT NULL);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER note AFTER DELETE ON cats FOR EACH ROW EXECUTE FUNCTION note();
