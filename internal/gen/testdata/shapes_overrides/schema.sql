CREATE TABLE invoices (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id uuid,
    vat_no text NOT NULL,
    cents bigint NOT NULL,
    currency text NOT NULL,
    terms jsonb NOT NULL DEFAULT '{}',
    extra jsonb,
    note text NOT NULL DEFAULT '',
    labels text[] NOT NULL DEFAULT '{}',
    ip inet NOT NULL,
    proxy inet
);

CREATE TABLE invoices_news (
    id bigint PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    headline text NOT NULL
);

CREATE TABLE unused (
    id bigint PRIMARY KEY
);
