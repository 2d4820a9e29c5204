package gen

import (
	"fmt"
	"slices"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// aggregates are Postgres' own.
var aggregates = set(`array_agg avg bit_and bit_or bit_xor bool_and bool_or count every json_agg json_object_agg jsonb_agg
	jsonb_object_agg max min range_agg string_agg sum xmlagg corr covar_pop covar_samp regr_avgx regr_avgy regr_count
	regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp variance var_pop var_samp
	mode percentile_cont percentile_disc any_value json_agg_strict jsonb_agg_strict`)

// known are functions of Postgres whose answer depends on their arguments only
// (and on settings such as TimeZone, which are taken to be the same on every
// connection).
var known = set(`abs ceil ceiling floor round trunc sign sqrt cbrt exp ln log log10 mod power pi gcd lcm div degrees radians
	acos asin atan atan2 cos cot sin tan width_bucket scale min_scale trim_scale factorial
	ascii bit_length btrim char_length character_length chr concat concat_ws convert_from convert_to decode encode format initcap
	left length lower lpad ltrim md5 normalize octet_length overlay position parse_ident quote_ident quote_literal quote_nullable
	regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
	regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim split_part starts_with string_to_array
	string_to_table strpos substr substring to_ascii to_hex translate trim upper unistr get_bit get_byte set_bit set_byte
	sha224 sha256 sha384 sha512 bit_count like_escape similar_to_escape
	date_part date_trunc date_bin extract isfinite justify_days justify_hours justify_interval make_date make_interval make_time
	make_timestamp make_timestamptz to_char to_date to_number to_timestamp timezone overlaps
	array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
	array_prepend array_remove array_replace array_to_string array_upper cardinality trim_array unnest generate_series
	generate_subscripts array_to_json
	json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text
	json_extract_path json_extract_path_text json_object json_object_keys json_populate_record json_populate_recordset
	json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text
	jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path
	jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query
	jsonb_path_query_array jsonb_path_query_first jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set
	jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof to_json to_jsonb row_to_json
	cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
	isempty lower_inc lower_inf upper_inc upper_inf range_merge int4range int8range numrange tsrange tstzrange daterange multirange
	abbrev broadcast family host hostmask masklen netmask network set_masklen inet_same_family inet_merge
	setweight strip ts_rank ts_rank_cd ts_headline to_tsquery to_tsvector plainto_tsquery phraseto_tsquery websearch_to_tsquery
	tsvector_to_array array_to_tsvector numnode querytree ts_delete ts_filter
	similarity word_similarity strict_word_similarity show_trgm unaccent levenshtein
	num_nulls num_nonnulls coalesce greatest least nullif hashtext grouping enum_first enum_last enum_range
	int4 int8 int2 text varchar float8 float4 numeric bool date timestamp timestamptz uuid jsonb json bytea name interval time
	xmlelement uuid_extract_timestamp uuid_extract_version`)

// setReturning are those of them that may return several rows.
var setReturning = set(`unnest generate_series generate_subscripts regexp_matches regexp_split_to_table string_to_table
	json_array_elements json_array_elements_text json_each json_each_text json_object_keys json_populate_recordset
	json_to_recordset jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys
	jsonb_path_query jsonb_populate_recordset jsonb_to_recordset`)

// changing answer differently each time, or by what time it is.
var changing = set(`now clock_timestamp statement_timestamp transaction_timestamp timeofday random random_normal 
	gen_random_uuid uuidv4 uuidv7 uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 gen_random_bytes gen_salt age`)

// acting do something, or speak of the transaction or session in which they run:
// a cached answer would not do it.
var acting = set(`setseed nextval currval lastval setval txid_current txid_current_if_assigned txid_current_snapshot pg_current_xact_id
	pg_current_xact_id_if_assigned pg_current_snapshot pg_sleep pg_sleep_for pg_sleep_until pg_notify
	pg_advisory_lock pg_advisory_lock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_try_advisory_lock
	pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_advisory_unlock pg_advisory_unlock_all
	pg_advisory_unlock_shared`)

// sessionFuncs answer by who asks.
var sessionFuncs = set(`current_setting set_config current_database current_schema current_schemas current_query
	pg_backend_pid inet_client_addr inet_client_port inet_server_addr inet_server_port has_table_privilege
	has_column_privilege pg_has_role current_user session_user user current_role row_security_active pg_my_temp_schema version`)

// timeWords mean a time when they are read as one.
var timeWords = set("now today tomorrow yesterday")

// isText reports whether an expression is a column that holds text, in which
// 'today' is a word.
func (a *analysis) isText(n *pg.Node) bool {
	parts, _ := columnPath(n.GetColumnRef())
	if len(parts) == 0 {
		return false
	}
	found := false
	for _, o := range a.occs {
		if c := o.table.col(parts[len(parts)-1]); c != nil {
			if strings.HasPrefix(c.typ, "time") || c.typ == "date" {
				return false
			}
			found = true
		}
	}
	return found
}

const uncache = "don't cache it: remove @cache"

// checkDeterministic refuses what a cached answer can't stand for: functions of
// time, chance and session, and functions whose body pgaside doesn't know.
func (a *analysis) checkDeterministic(sel protoMessage) {
	check := func(m protoMessage) bool {
		if l, ok := m.(located); ok {
			a.stand(l)
		}
		switch m := m.(type) {
		case *pg.SQLValueFunction:
			op := strings.ToLower(strings.TrimPrefix(m.GetOp().String(), "SVFOP_"))
			op = strings.TrimSuffix(op, "_n")
			if strings.HasPrefix(op, "current_time") || strings.HasPrefix(op, "current_date") || strings.HasPrefix(op, "localtime") {
				a.refuseVolatile(op+" changes by itself: a cached answer would stand still",
					"pass the time as a parameter, or "+uncache)
			} else {
				a.refuse(op+" depends on who asks", "pass it as a parameter, or "+uncache)
			}
		case *pg.FuncCall:
			a.checkFunction(m)
		case *pg.A_Expr:
			if op := a.schema.operators[lastName(m.GetName())]; op != nil {
				a.refuse(fmt.Sprintf("operator %s (%s) is the schema's own: pgaside doesn't know what it reads", lastName(m.GetName()), op.pos), uncache)
			}
			for _, pair := range [][2]*pg.Node{{m.GetLexpr(), m.GetRexpr()}, {m.GetRexpr(), m.GetLexpr()}} {
				if text, _ := constText(pair[1]); timeWords[strings.ToLower(strings.TrimSpace(text))] && !a.isText(pair[0]) {
					a.stand(pair[1].GetAConst())
					a.refuseVolatile(fmt.Sprintf("'%s' may change by itself: a cached answer would stand still", text), "pass the time as a parameter, or "+uncache)
				}
			}
		case *pg.TypeCast:
			text, _ := constText(m.GetArg())
			switch typeName(m.GetTypeName()) {
			case "date", "timestamp", "timestamptz", "time", "timetz":
				if timeWords[strings.ToLower(strings.TrimSpace(text))] {
					a.stand(m.GetArg().GetAConst())
					a.refuseVolatile(fmt.Sprintf("'%s' changes by itself: a cached answer would stand still", text),
						"pass the time as a parameter, or "+uncache)
				}
			}
		}
		return true
	}
	walk(sel, check)
	a.inView++
	for _, v := range a.views {
		a.here = a.viewAt[v]
		walk(a.body(v), check)
	}
	a.inView--
}

func (a *analysis) checkFunction(f *pg.FuncCall) {
	parts := names(f.GetFuncname())
	name := parts[len(parts)-1]
	own := a.schema.function(name)
	if len(parts) > 1 && parts[0] == "pg_catalog" {
		own = nil
	}
	for _, arg := range f.GetArgs() {
		if text, _ := constText(arg); timeWords[strings.ToLower(text)] && (name == "date" || strings.HasPrefix(name, "time") || strings.HasPrefix(name, "date_")) {
			a.refuseVolatile(fmt.Sprintf("'%s' changes by itself: a cached answer would stand still", text), "pass the time as a parameter, or "+uncache)
		}
	}
	switch {
	case own != nil && a.schema.inlines(name): // what can be followed stands there as a SELECT by now
		a.refuse(fmt.Sprintf("function %s (%s) calls functions that call functions, without an end that pgaside could see", name, own.pos), uncache)
	case own != nil && own.volatile == "immutable":
	case own != nil:
		a.refuse(fmt.Sprintf("function %s (%s) is %s: pgaside doesn't know what it reads", name, own.pos, own.volatile),
			"declare it IMMUTABLE if it only looks at its arguments, write it in SQL as one SELECT, or write its body into the query", uncache)
	case name == "age" && len(f.GetArgs()) == 2:
	case changing[name]:
		mend := uncache
		if name == "now" || strings.HasSuffix(name, "timestamp") || name == "age" {
			mend = "pass the time as a parameter, or " + uncache
		}
		a.refuseVolatile(name+"() changes by itself: a cached answer would stand still", mend)
	case acting[name]:
		a.refuse(name+"() does something, or speaks of its own transaction: a cached answer wouldn't", uncache)
	case sessionFuncs[name]:
		a.refuse(name+"() depends on who asks", "pass it as a parameter, or "+uncache)
	case !known[name] && !aggregates[name]:
		a.refuse(fmt.Sprintf("pgaside doesn't know function %s: its answer may depend on more than its arguments", name),
			"write a SQL function declared IMMUTABLE around it, if that is true", uncache)
	}
}

// inlines reports whether all functions of a name are one SELECT in SQL, which can
// be read in the place of the call.
func (s *schema) inlines(name string) bool {
	fs := s.functions[name]
	for _, f := range fs {
		if f.language != "sql" || f.settings {
			return false
		}
		if e := f.effectsOf(); e.opaque != "" || len(e.stmts) != 1 || e.stmts[0].GetSelectStmt() == nil || dataModifying(e.stmts[0]) {
			return false
		}
	}
	return len(fs) == 1
}

// maxBodies bounds the functions that are read in the place of their calls.
const maxBodies = 300

// inline returns a copy of a SELECT in which the functions in SQL that it calls
// stand as sub-selects, so that the tables they read are seen. What an argument
// means is known where it is a parameter, a constant or a qualified column.
func (s *schema) inline(n *pg.Node) *pg.Node {
	out := proto.Clone(n).(*pg.Node)
	bodies := 0
	for range maxCalls {
		changed := false
		walk(out, func(m protoMessage) bool {
			n, ok := m.(*pg.Node)
			if !ok || bodies >= maxBodies {
				return true
			}
			if r := n.GetRangeFunction(); r != nil && len(r.GetFunctions()) == 1 && len(r.GetColdeflist()) == 0 && !r.GetOrdinality() {
				if body, f := s.bodyOf(r.GetFunctions()[0].GetList().GetItems()[0].GetFuncCall()); body != nil {
					alias := r.GetAlias()
					if alias == nil {
						alias = &pg.Alias{Aliasname: f.name}
					}
					if cols, ok := s.returnedNames(f, body, alias); ok {
						alias.Colnames = cols
						n.Node = &pg.Node_RangeSubselect{RangeSubselect: &pg.RangeSubselect{Lateral: true, Subquery: body, Alias: alias}}
						changed = true
						bodies++
						return false // what it calls comes next
					}
				}
			}
			if body, _ := s.bodyOf(n.GetFuncCall()); body != nil {
				n.Node = &pg.Node_SubLink{SubLink: &pg.SubLink{SubLinkType: pg.SubLinkType_EXPR_SUBLINK, Subselect: body}}
				changed = true
				bodies++
				return false
			}
			return true
		})
		if !changed {
			break
		}
	}
	return out
}

// returnedNames lists the names of the columns that a function returns, which are
// not those of its SELECT: of its row type, changed by the alias.
func (s *schema) returnedNames(f *function, body *pg.Node, alias *pg.Alias) ([]*pg.Node, bool) {
	out := slices.Clone(f.columns)
	if f.rowType != nil {
		parts := names(f.rowType.GetNames())
		t := s.tables[qualified(schemaOf(f.rowType.GetNames()), parts[len(parts)-1])]
		targets := body.GetSelectStmt().GetTargetList()
		switch {
		case t != nil && t.view == nil:
			for _, c := range t.cols {
				out = append(out, pg.MakeStrNode(c.name))
			}
		case len(targets) == 1 && !starred(body.GetSelectStmt()):
			out = append(out, pg.MakeStrNode(alias.GetAliasname()))
		case len(targets) == 0 || starred(body.GetSelectStmt()) || len(alias.GetColnames()) != len(targets):
			return nil, false
		}
	}
	for i, name := range alias.GetColnames() {
		if i < len(out) {
			out[i] = name
		} else {
			out = append(out, name)
		}
	}
	return out, true
}

// ofTables gives the names of tables in a body their schema, so that no WITH around
// the place to which it comes can take them.
func (s *schema) ofTables(n *pg.Node) *pg.Node {
	ctes := map[string]bool{}
	walk(n, func(m protoMessage) bool {
		if c, ok := m.(*pg.CommonTableExpr); ok {
			ctes[c.GetCtename()] = true
		}
		return true
	})
	walk(n, func(m protoMessage) bool {
		if r, ok := m.(*pg.RangeVar); ok && r.GetSchemaname() == "" && !ctes[r.GetRelname()] {
			if t, _ := s.find("", r.GetRelname()); t != nil {
				r.Schemaname = t.schema
			}
		}
		return true
	})
	return n
}

// bodyOf returns the body of the function that is called, with the arguments in
// the place of its parameters; nil when it isn't one SELECT in SQL.
func (s *schema) bodyOf(call *pg.FuncCall) (*pg.Node, *function) {
	if call == nil {
		return nil, nil
	}
	parts := names(call.GetFuncname())
	if len(parts) > 1 && parts[0] == "pg_catalog" || !s.inlines(parts[len(parts)-1]) {
		return nil, nil
	}
	f := s.functions[parts[len(parts)-1]][0]
	return s.ofTables(s.withArgs(f.effectsOf().stmts[0], f, call, func(n *pg.Node) bool {
		parts, star := columnPath(n.GetColumnRef())
		return fixed(n) || !star && len(parts) == 2 && !tableNames(f.effectsOf().stmts[0])[parts[0]]
	})), f
}

// tableNames are the names that stand for tables in a statement.
func tableNames(n *pg.Node) map[string]bool {
	out := map[string]bool{}
	walk(n, func(m protoMessage) bool {
		switch m := m.(type) {
		case *pg.RangeVar:
			out[m.GetRelname()] = true
		case *pg.Alias:
			out[m.GetAliasname()] = true
		}
		return true
	})
	return out
}

// call is a call of a function of the schema.
type call struct {
	name string
	node *pg.FuncCall // nil when its arguments can't be told
}

// ownCalls lists the calls of functions of the schema that a statement makes, by
// name, through operators of the schema or in the views it reads.
func (s *schema) ownCalls(m protoMessage) []call {
	var out []call
	views := map[*table]bool{}
	inView := false
	var visit func(m protoMessage) bool
	add := func(name string, node *pg.FuncCall) {
		if s.function(name) == nil {
			return
		}
		if inView {
			node = nil
		}
		out = append(out, call{name, node})
	}
	visit = func(m protoMessage) bool {
		switch m := m.(type) {
		case *pg.FuncCall:
			add(lastName(m.GetFuncname()), m)
		case *pg.A_Expr:
			if op := s.operators[lastName(m.GetName())]; op != nil {
				add(op.function, nil)
			}
		case *pg.RangeVar:
			if t, _ := s.find(m.GetSchemaname(), m.GetRelname()); t != nil && t.view != nil && !views[t] {
				views[t] = true
				was := inView
				inView = true
				walk(t.view, visit)
				inView = was
			}
		}
		return true
	}
	walk(m, visit)
	return out
}
