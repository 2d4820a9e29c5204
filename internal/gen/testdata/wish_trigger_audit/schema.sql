CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE account_limits (
    account_id bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    period text NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (account_id, period)
);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION audit() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_log (actor, action, subject, detail)
    VALUES (current_user, TG_OP, TG_TABLE_NAME, to_jsonb(coalesce(NEW, OLD)));
    RETURN NULL;
END;
$$;

CREATE TRIGGER account_limits_audit AFTER INSERT OR UPDATE OR DELETE ON account_limits
FOR EACH ROW EXECUTE FUNCTION audit();

CREATE FUNCTION notify_limits() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('limits', NEW.account_id::text);
    RETURN NEW;
END;
$$;

CREATE TRIGGER account_limits_notify AFTER INSERT OR UPDATE ON account_limits
FOR EACH ROW EXECUTE FUNCTION notify_limits();
