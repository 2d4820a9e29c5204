-- name: GetInvoice :one
-- @cache invoice(id)
SELECT * FROM invoices WHERE id = $1;

-- name: GetTotals :many
-- @cache invoices_in(currency)
SELECT vat_no, sum(cents)::bigint AS cents FROM invoices WHERE currency = $1 GROUP BY vat_no ORDER BY vat_no;

-- name: ListByCustomer :many
-- @cache customer_invoices(customer_id)
SELECT id, cents, currency, terms, labels, ip, proxy FROM invoices WHERE customer_id = $1 AND cents > $2 ORDER BY id;

-- name: ListByVAT :many
-- @cache vat_invoices(vat_no)
SELECT * FROM invoices WHERE vat_no = $1;

-- name: GetTerms :one
-- @cache invoice(id)
SELECT terms FROM invoices WHERE id = $1;

-- name: ListNews :many
-- @cache invoice_news(invoice_id)
SELECT * FROM invoices_news WHERE invoice_id = $1 ORDER BY id;

-- name: CreateInvoice :one
INSERT INTO invoices (customer_id, vat_no, cents, currency, terms, ip) VALUES ($1, $2, $3, $4, $5, $6) RETURNING *;

-- name: Charge :many
UPDATE invoices SET cents = cents + @cents WHERE customer_id = @customer_id RETURNING id, currency, vat_no;

-- name: Reprice :one
UPDATE invoices SET terms = @terms, labels = @labels, proxy = @proxy WHERE id = @id RETURNING customer_id, vat_no;

-- name: LoadInvoices :copyfrom
INSERT INTO invoices (id, customer_id, vat_no, cents, currency, ip) VALUES ($1, $2, $3, $4, $5, $6);

-- name: DeleteInvoice :one
DELETE FROM invoices WHERE id = $1 RETURNING *;
