-- name: ByDomain :many
-- @cache code(code)
SELECT * FROM codes WHERE code = (@code::text)::short;

-- name: ByDomainOfColumn :many
-- @cache code(code)
SELECT * FROM codes WHERE code::short = @code::text;

-- name: ByCutList :many
-- @cache code(codes)
SELECT * FROM codes WHERE code = ANY(@codes::varchar(3)[]);

-- name: SinceToday :many
-- @cache code(code)
SELECT * FROM codes WHERE code = $1 AND at > 'today';

-- name: ThroughJoin :many
-- @cache one(id)
SELECT codes.at FROM (codes JOIN app.labels AS o USING (id, code)) WHERE codes.id = $1 AND date(codes.at) > date('yesterday');
