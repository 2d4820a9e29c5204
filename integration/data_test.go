package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/repo"
)

// dataset names the rows of a small database: those that are there, some that have been, and one that never was.
type dataset struct {
	users    []uuid.UUID
	sessions []child
	messages []child
	entries  []child
	devices  []child
	logins   []child
	prompts  []child

	unbounded bool // mutations add rows however many there are
}

// child is a row with what it belongs to. Fields that a table does not have are zero.
type child struct {
	id, session, user uuid.UUID // a login's session is its device
	at                time.Time
	text              string // token, category/locale
	live              bool
}

// ghosts is how many rows of each table are remembered after they were deleted.
const ghosts = 1

// load brings the data set up to date with the database.
func (d *dataset) load(ctx context.Context, pool *pgxpool.Pool) error {
	users := make([]child, len(d.users))
	for i, u := range d.users {
		users[i] = child{id: u}
	}
	none := uuid.Nil.String()
	for _, t := range []struct {
		rows *[]child
		sql  string
	}{
		{&users, "select id, '" + none + "'::uuid, '" + none + "'::uuid, created_at, '' from users order by created_at, id"},
		{&d.sessions, "select id, id, user_id, started_at, '' from sessions order by started_at, id"},
		{&d.messages, "select id, session_id, user_id, created_at, '' from messages order by created_at, id"},
		{&d.entries, "select id, session_id, user_id, created_at, '' from cbt_entries order by created_at, id"},
		{&d.devices, "select id, '" + none + "'::uuid, user_id, created_at, '' from devices order by created_at, id"},
		{&d.logins, "select id, coalesce(device_id, '" + none + "'), user_id, created_at, token_hash from user_sessions order by created_at, id"},
		{&d.prompts, "select id, '" + none + "'::uuid, '" + none + "'::uuid, created_at, category || '/' || locale from therapy_prompts order by created_at, id"},
	} {
		rows, err := pool.Query(ctx, t.sql)
		if err != nil {
			return err
		}
		var live []child
		seen := make(map[uuid.UUID]bool)
		for rows.Next() {
			c := child{live: true}
			if err := rows.Scan(&c.id, &c.session, &c.user, &c.at, &c.text); err != nil {
				return err
			}
			live = append(live, c)
			seen[c.id] = true
		}
		if err := rows.Err(); err != nil {
			return err
		}
		var dead []child
		for _, c := range *t.rows {
			if !seen[c.id] {
				c.live = false
				dead = append(dead, c)
			}
		}
		*t.rows = slices.Concat(dead[max(0, len(dead)-ghosts):], live)
	}
	d.users = nil
	for _, u := range users {
		d.users = append(d.users, u.id)
	}
	return nil
}

// nobody is the key of nothing.
var nobody = uuid.MustParse("00000000-0000-4000-8000-000000000000")

// probe is one cached read with its arguments.
type probe struct {
	query     string
	args      string
	run       func(ctx context.Context, q repo.Querier) (any, error)
	unordered bool // a batch promises no order
}

func probeOf[T any](query string, args any, run func(context.Context, repo.Querier) (T, error)) probe {
	return probe{query: query, args: fmt.Sprintf("%+v", args), run: func(ctx context.Context, q repo.Querier) (any, error) { return run(ctx, q) }}
}

func batchOf[A, T any](query string, keys []A, run func(repo.Querier, context.Context, []A) (T, error)) probe {
	p := probeOf(query, keys, func(ctx context.Context, q repo.Querier) (T, error) { return run(q, ctx, append([]A(nil), keys...)) })
	p.unordered = true
	return p
}

// probes lists every cached read with every argument that the data set suggests.
func (d *dataset) probes() []probe {
	var out []probe
	add := func(p ...probe) { out = append(out, p...) }

	users := append([]uuid.UUID{nobody}, d.users...)
	for _, u := range users {
		add(probeOf("GetAuthConfig", u, func(ctx context.Context, q repo.Querier) (repo.AuthConfig, error) { return q.GetAuthConfig(ctx, u) }))
		add(probeOf("CountSessions", u, func(ctx context.Context, q repo.Querier) (int64, error) { return q.CountSessions(ctx, u) }))
		add(probeOf("ListDevices", u, func(ctx context.Context, q repo.Querier) ([]repo.Device, error) { return q.ListDevices(ctx, u) }))
		add(probeOf("ListUserSessions", u, func(ctx context.Context, q repo.Querier) ([]repo.ListUserSessionsRow, error) {
			return q.ListUserSessions(ctx, u)
		}))
		for _, a := range []repo.ListSessionsParams{{UserID: u, PageSize: 20}, {UserID: u, PageOffset: 1, PageSize: 1}} {
			add(probeOf("ListSessions", a, func(ctx context.Context, q repo.Querier) ([]repo.Session, error) { return q.ListSessions(ctx, a) }))
		}
	}

	sessions := append([]child{{id: nobody, session: nobody, user: nobody}}, d.sessions...)
	for _, s := range sessions {
		id := s.id
		add(probeOf("GetSession", id, func(ctx context.Context, q repo.Querier) (repo.Session, error) { return q.GetSession(ctx, id) }))
		add(probeOf("CountMessages", id, func(ctx context.Context, q repo.Querier) (int64, error) { return q.CountMessages(ctx, id) }))
		add(probeOf("ListCBTEntries", id, func(ctx context.Context, q repo.Querier) ([]repo.CBTEntry, error) { return q.ListCBTEntries(ctx, id) }))
		lm := repo.ListMessagesParams{SessionID: id, PageSize: 3}
		add(probeOf("ListMessages", lm, func(ctx context.Context, q repo.Querier) ([]repo.Message, error) { return q.ListMessages(ctx, lm) }))
		lp := repo.ListMessagesPageParams{SessionID: id, PageOffset: 1, PageSize: 2}
		add(probeOf("ListMessagesPage", lp, func(ctx context.Context, q repo.Querier) ([]repo.Message, error) { return q.ListMessagesPage(ctx, lp) }))
		lb := repo.ListMessagesBeforeParams{SessionID: id, BeforeCreatedAt: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), BeforeID: nobody, PageSize: 2}
		for _, m := range d.messages {
			if m.session == id {
				lb.BeforeCreatedAt, lb.BeforeID = m.at, m.id
			}
		}
		add(probeOf("ListMessagesBefore", lb, func(ctx context.Context, q repo.Querier) ([]repo.Message, error) {
			return q.ListMessagesBefore(ctx, lb)
		}))
		sr := repo.SessionReportParams{SessionID: id, UserID: s.user}
		add(probeOf("SessionReport", sr, func(ctx context.Context, q repo.Querier) (repo.SessionReportRow, error) {
			return q.SessionReport(ctx, sr)
		}))
		lr := repo.ListReportsParams{SessionID: id, UserID: s.user}
		add(probeOf("ListReports", lr, func(ctx context.Context, q repo.Querier) ([]repo.Report, error) { return q.ListReports(ctx, lr) }))
		for _, kind := range []repo.ReportKind{repo.ReportKindSummary, repo.ReportKindRisk} {
			gr := repo.GetReportParams{UserID: s.user, SessionID: id, Kind: kind}
			add(probeOf("GetReport", gr, func(ctx context.Context, q repo.Querier) (repo.Report, error) { return q.GetReport(ctx, gr) }))
		}
	}
	for _, m := range append([]child{{id: nobody, session: nobody}}, d.messages...) {
		a := repo.GetMessageParams{SessionID: m.session, ID: m.id}
		add(probeOf("GetMessage", a, func(ctx context.Context, q repo.Querier) (repo.Message, error) { return q.GetMessage(ctx, a) }))
	}
	for _, e := range append([]child{{id: nobody, session: nobody}}, d.entries...) {
		a := repo.GetCBTEntryParams{SessionID: e.session, ID: e.id}
		add(probeOf("GetCBTEntry", a, func(ctx context.Context, q repo.Querier) (repo.CBTEntry, error) { return q.GetCBTEntry(ctx, a) }))
	}
	for _, v := range append([]child{{id: nobody}}, d.devices...) {
		add(probeOf("GetDevice", v.id, func(ctx context.Context, q repo.Querier) (repo.Device, error) { return q.GetDevice(ctx, v.id) }))
	}
	for _, l := range append([]child{{id: nobody, text: "no such token"}}, d.logins...) {
		add(probeOf("GetUserSession", l.id, func(ctx context.Context, q repo.Querier) (repo.UserSession, error) {
			return q.GetUserSession(ctx, l.id)
		}))
		add(probeOf("GetUserSessionByToken", l.text, func(ctx context.Context, q repo.Querier) (repo.UserSession, error) {
			return q.GetUserSessionByToken(ctx, l.text)
		}))
	}
	for _, p := range append([]child{{id: nobody}}, d.prompts...) {
		add(probeOf("GetTherapyPrompt", p.id, func(ctx context.Context, q repo.Querier) (repo.TherapyPrompt, error) {
			return q.GetTherapyPrompt(ctx, p.id)
		}))
	}
	for _, category := range []repo.PromptCategory{repo.PromptCategoryGrounding, repo.PromptCategorySleep} {
		for _, locale := range promptLocales {
			a := repo.ListTherapyPromptsParams{Category: category, Locale: locale}
			add(probeOf("ListTherapyPrompts", a, func(ctx context.Context, q repo.Querier) ([]repo.ListTherapyPromptsRow, error) {
				return q.ListTherapyPrompts(ctx, a)
			}))
		}
	}

	// Batches: all of them, with repetitions and one that is not there; one alone; none.
	for _, keys := range batches(users) {
		add(batchOf("ListAuthConfigsByUsers", keys, repo.Querier.ListAuthConfigsByUsers))
	}
	for _, keys := range batches(ids(sessions)) {
		add(batchOf("ListSessionsByIDs", keys, repo.Querier.ListSessionsByIDs),
			batchOf("ListMessagesBySessions", keys, repo.Querier.ListMessagesBySessions),
			batchOf("ListCBTEntriesBySessions", keys, repo.Querier.ListCBTEntriesBySessions),
			batchOf("ListReportsBySessions", keys, repo.Querier.ListReportsBySessions))
	}
	for _, keys := range batches(ids(d.devices)) {
		add(batchOf("ListDevicesByIDs", keys, repo.Querier.ListDevicesByIDs))
	}
	for _, keys := range batches(ids(d.logins)) {
		add(batchOf("ListUserSessionsByIDs", keys, repo.Querier.ListUserSessionsByIDs))
	}
	for _, keys := range batches(ids(d.prompts)) {
		add(batchOf("ListTherapyPromptsByIDs", keys, repo.Querier.ListTherapyPromptsByIDs))
	}
	return out
}

var promptLocales = []string{"en", "de-AT", "日本"}

func ids(rows []child) []uuid.UUID {
	out := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		out[i] = r.id
	}
	return out
}

func batches(keys []uuid.UUID) [][]uuid.UUID {
	all := append(append([]uuid.UUID{nobody}, keys...), keys...)
	out := [][]uuid.UUID{all, {}}
	if len(keys) > 0 {
		out = append(out, keys[len(keys)-1:])
	}
	return out
}

// normal makes results comparable: a batch promises no order of its rows.
func (p probe) normal(v any) any {
	rv := reflect.ValueOf(v)
	if !p.unordered || rv.Kind() != reflect.Slice || rv.IsNil() {
		return v
	}
	out := reflect.MakeSlice(rv.Type(), rv.Len(), rv.Len())
	reflect.Copy(out, rv)
	key := func(i int) (s string) {
		for _, f := range []string{"ID", "UserID", "SessionID", "Kind"} {
			if fv := out.Index(i).FieldByName(f); fv.IsValid() {
				s += fmt.Sprint(fv.Interface()) + " "
			}
		}
		return s
	}
	sort.Sort(byKey{out, key})
	return out.Interface()
}

type byKey struct {
	rv  reflect.Value
	key func(int) string
}

func (b byKey) Len() int           { return b.rv.Len() }
func (b byKey) Less(i, j int) bool { return b.key(i) < b.key(j) }
func (b byKey) Swap(i, j int)      { reflect.Swapper(b.rv.Interface())(i, j) }

// differ tells how two results of a probe differ; "" when they do not. Equal means what a caller could find out: deeply equal,
// nil and empty told apart, times with their location, and the very same error.
func (p probe) differ(want any, wantErr error, got any, gotErr error) string {
	want, got = p.normal(want), p.normal(got)
	switch {
	case wantErr != gotErr: //nolint:errorlint // the same error, not one like it
		return fmt.Sprintf("%s(%s): error %v, want %v", p.query, p.args, gotErr, wantErr)
	case !reflect.DeepEqual(want, got):
		return fmt.Sprintf("%s(%s): not deeply equal\n%s", p.query, p.args, cmp.Diff(want, got))
	}
	return ""
}

// eachProbe runs f for every probe, several at a time, and collects what f says.
func eachProbe(probes []probe, f func(p probe) string) []string {
	var mu sync.Mutex
	var said []string
	var wg sync.WaitGroup
	work := make(chan probe)
	for range 4 {
		wg.Go(func() {
			for p := range work {
				if s := f(p); s != "" {
					mu.Lock()
					said = append(said, s)
					mu.Unlock()
				}
			}
		})
	}
	for _, p := range probes {
		work <- p
	}
	close(work)
	wg.Wait()
	return said
}

// compare reads every probe from the source and then from q, and tells how they differ, to reflect.DeepEqual or to go-cmp.
func compare(ctx context.Context, probes []probe, source, q repo.Querier) []string {
	return eachProbe(probes, func(p probe) string {
		want, wantErr := p.run(ctx, source)
		got, gotErr := p.run(ctx, q)
		if s := p.differ(want, wantErr, got, gotErr); s != "" {
			return s
		}
		return cmp.Diff(p.normal(want), p.normal(got))
	})
}

// queryNames reads the project's queries: their names, and whether they are cached.
func queryNames(t *testing.T) (cachedReads, writes map[string]bool) {
	t.Helper()
	files, err := filepath.Glob("../db/queries/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	cachedReads, writes = make(map[string]bool), make(map[string]bool)
	verb := regexp.MustCompile(`(?m)^(INSERT|UPDATE|DELETE)\b`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, q := range strings.Split(string(text), "-- name: ")[1:] {
			name, _, _ := strings.Cut(q, " ")
			switch {
			case strings.Contains(q, "\n-- @cache "):
				cachedReads[name] = true
			case verb.MatchString(q):
				writes[name] = true
			}
		}
	}
	return cachedReads, writes
}

// random makes rows with everything that a column can hold.
type random struct{ *rand.Rand }

func newRandom(t *testing.T) random {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PGASIDE_TEST_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		require.NoError(t, err)
	}
	t.Logf("PGASIDE_TEST_SEED=%d", seed)
	return random{rand.New(rand.NewPCG(seed, 1))}
}

var texts = []string{
	"", "plain", "Zoë 🧠 漢字 \u202eright to left", "line\nbreak\ttab \"quotes\" 'single' back\\slash", "<b>&amp;</b> %s {} !@",
	"\ufffd", `\ufffd`, "\u2028\u2029", "\u0001\u007f", "e\u0301 and é", " padded ", strings.Repeat("long and dull ", 300),
}

func (r random) text() string { return texts[r.IntN(len(texts))] }

func (r random) chance(n int) bool { return r.IntN(n) == 0 }

func maybe[T any](r random, v T) any {
	if r.chance(3) {
		return nil
	}
	return v
}

func ptr[T any](r random, v T) *T {
	if r.chance(3) {
		return nil
	}
	return &v
}

var oddTimes = []string{
	"0001-01-01T00:00:00Z", "1850-06-01T12:00:00.000001Z", "1965-03-04T05:06:07.123456Z", "1970-01-01T00:00:00Z",
	"2024-03-31T01:30:00Z", "2024-10-27T00:30:00Z", "9999-12-31T23:59:59.999999Z",
}

func (r random) time() string {
	if r.chance(4) {
		return oddTimes[r.IntN(len(oddTimes))]
	}
	t := time.Date(2020+r.IntN(6), 1, 1, 0, 0, r.IntN(365*86400), 1000*r.IntN(1_000_000), time.UTC)
	return t.Format(time.RFC3339Nano)
}

func (r random) float() any {
	switch r.IntN(6) {
	case 0:
		return "Infinity"
	case 1:
		return 0.1 + 0.2
	case 2:
		return -5e-324
	}
	return r.NormFloat64() * 1e3
}

func (r random) json() any {
	switch r.IntN(5) {
	case 0:
		return map[string]any{}
	case 1:
		return map[string]any{"mood": r.IntN(11), "thought": r.text(), "nested": map[string]any{"list": []any{1, 2.5, nil, true, "x"}}}
	case 2:
		return map[string]any{"mood": r.text(), "big": json.Number("12345678901234567890.000000000000000001")}
	case 3:
		return map[string]any{"mood": nil, "": r.text()}
	}
	return map[string]any{"mood": r.Float64() * 10}
}

func (r random) jsonText() []byte {
	out, err := json.Marshal(r.json())
	if err != nil {
		panic(err)
	}
	return out
}

func pick[T any](r random, from []T) T { return from[r.IntN(len(from))] }

// insert adds a row, given as the JSON of its columns.
func insert(ctx context.Context, t *testing.T, pool *pgxpool.Pool, table string, row map[string]any) {
	t.Helper()
	doc, err := json.Marshal(row)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "insert into "+table+" select (jsonb_populate_record(null::"+table+", $1::jsonb)).*", doc)
	require.NoError(t, err, "%s %s", table, doc)
}

// fillTables adds random rows to every table, n for each parent.
func (r random) fillTables(ctx context.Context, t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	for _, part := range []string{"settings", "device"} { // two people with little, whom a random DELETE can remove
		user := uuid.New()
		insert(ctx, t, pool, "users", map[string]any{"id": user, "email": uuid.NewString(), "display_name": part, "role": "client", "created_at": r.time(), "updated_at": r.time()})
		if part == "settings" {
			insert(ctx, t, pool, "auth_configs", map[string]any{
				"user_id": user, "mfa_enabled": false, "allowed_methods": []string{}, "session_minutes": 1, "failed_attempts": 0, "updated_at": r.time(),
			})
			continue
		}
		insert(ctx, t, pool, "devices", map[string]any{"id": uuid.New(), "user_id": user, "platform": "ios", "name": part, "trusted": true, "created_at": r.time()})
	}
	for range n {
		user := uuid.New()
		insert(ctx, t, pool, "users", map[string]any{
			"id": user, "email": uuid.NewString(), "display_name": r.text(), "role": pick(r, []string{"client", "therapist", "admin"}),
			"locale": maybe(r, r.text()), "created_at": r.time(), "updated_at": r.time(), "deleted_at": maybe(r, r.time()),
		})
		if !r.chance(3) {
			insert(ctx, t, pool, "auth_configs", map[string]any{
				"user_id": user, "mfa_enabled": r.chance(2), "mfa_method": maybe(r, pick(r, []string{"totp", "sms", "passkey"})),
				"allowed_methods": pick(r, [][]string{{}, {"password"}, {r.text(), r.text(), ""}}), "session_minutes": 1 + r.IntN(1000),
				"failed_attempts": r.IntN(9), "locked_until": maybe(r, r.time()), "password_changed_at": maybe(r, r.time()), "updated_at": r.time(),
			})
		}
		for range 1 + r.IntN(n) {
			device := uuid.New()
			insert(ctx, t, pool, "devices", map[string]any{
				"id": device, "user_id": user, "platform": pick(r, []string{"ios", "android", "web"}), "name": r.text(),
				"push_token": maybe(r, uuid.NewString()), "app_version": maybe(r, r.text()), "trusted": r.chance(2), "created_at": r.time(),
				"last_seen_at": maybe(r, r.time()),
			})
			insert(ctx, t, pool, "user_sessions", map[string]any{
				"id": uuid.New(), "user_id": user, "device_id": maybe(r, device), "token_hash": r.token(), "ip_address": maybe(r, r.text()),
				"user_agent": maybe(r, r.text()), "created_at": r.time(), "last_seen_at": r.time(), "expires_at": r.time(), "revoked_at": maybe(r, r.time()),
			})
		}
		for range 1 + r.IntN(n) {
			insert(ctx, t, pool, "therapy_prompts", map[string]any{
				"id": uuid.New(), "slug": uuid.NewString(), "category": pick(r, []string{"grounding", "sleep"}), "locale": pick(r, promptLocales),
				"title": r.text(), "body": r.text(), "author_id": maybe(r, user), "version": r.IntN(1000), "weight": r.float(),
				"uses": r.Int64N(1 << 60), "active": !r.chance(4), "created_at": r.time(), "updated_at": r.time(), "archived_at": maybe(r, r.time()),
			})
		}
		for range 1 + r.IntN(n) {
			session := uuid.New()
			insert(ctx, t, pool, "sessions", map[string]any{
				"id": session, "user_id": user, "title": r.text(), "status": pick(r, []string{"active", "paused", "completed", "abandoned"}),
				"pinned": r.chance(2), "mood_before": maybe(r, r.IntN(11)), "mood_after": maybe(r, r.IntN(11)), "summary": maybe(r, r.text()),
				"started_at": r.time(), "ended_at": maybe(r, r.time()), "updated_at": r.time(),
			})
			for range 1 + r.IntN(n) {
				insert(ctx, t, pool, "messages", map[string]any{
					"id": uuid.New(), "session_id": session, "user_id": user, "role": pick(r, []string{"client", "assistant", "therapist", "system"}),
					"content": r.text(), "token_count": r.IntN(5000), "sentiment": maybe(r, r.float()), "flagged": r.chance(4),
					"metadata": maybe(r, r.json()), "created_at": r.time(), "edited_at": maybe(r, r.time()),
				})
			}
			for range 1 + r.IntN(n) {
				insert(ctx, t, pool, "cbt_entries", map[string]any{
					"id": uuid.New(), "session_id": session, "user_id": user, "kind": pick(r, []string{"thought_record", "exposure", "worry_log"}),
					"data": r.json(), "distress": maybe(r, r.float()), "completed": r.chance(2), "created_at": r.time(), "updated_at": r.time(),
				})
			}
			for _, kind := range []string{"summary", "progress", "risk"} {
				if r.chance(2) {
					insert(ctx, t, pool, "reports", map[string]any{
						"session_id": session, "user_id": user, "kind": kind, "title": r.text(), "body": r.json(), "risk_score": maybe(r, r.float()),
						"token_total": r.Int64N(1 << 60), "revision": 1 + r.IntN(9), "generated_at": r.time(), "signed_at": maybe(r, r.time()),
					})
				}
			}
		}
	}
}

func (r random) token() string {
	return fmt.Sprintf("%016x%016x%016x%016x", r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
}
