package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
	"github.com/pgaside/pgaside/repo"
)

// errNothingToDo is what a mutation returns when the data set has nothing for it.
var errNothingToDo = errors.New("nothing to do")

// mutations has every write of the project, with random arguments. Some name rows that are gone.
var mutations = map[string]func(ctx context.Context, q repo.Querier, d *dataset, r random) error{
	"CreateUser": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		if len(d.users) > 4 && !d.unbounded {
			return errNothingToDo
		}
		_, err := q.CreateUser(ctx, repo.CreateUserParams{Email: uuid.NewString(), DisplayName: r.text(), Role: repo.UserRoleClient})
		return err
	},
	"UpdateUser": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		// Not the name: ListTherapyPrompts says @stale-ok users.
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		u, err := q.GetUser(ctx, id)
		if err != nil {
			return err
		}
		_, err = q.UpdateUser(ctx, repo.UpdateUserParams{ID: id, DisplayName: u.DisplayName, Locale: ptr(r, r.text())})
		return err
	},
	"DeleteUser": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteUser(ctx, id)
		return err
	},
	"CreateAuthConfig": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.CreateAuthConfig(ctx, repo.CreateAuthConfigParams{UserID: id, AllowedMethods: []string{r.text()}, SessionMinutes: 5})
		return err
	},
	"SaveAuthConfig": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.SaveAuthConfig(ctx, repo.SaveAuthConfigParams{
			UserID: id, MFAEnabled: r.chance(2), MFAMethod: ptr(r, repo.MFAMethodTotp), AllowedMethods: []string{}, SessionMinutes: 1 + r.Int32N(99),
		})
		return err
	},
	"UpdateAuthConfig": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateAuthConfig(ctx, repo.UpdateAuthConfigParams{UserID: id, AllowedMethods: []string{r.text()}, SessionMinutes: 1 + r.Int32N(99)})
		return err
	},
	"RecordFailedLogin": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		return q.RecordFailedLogin(ctx, repo.RecordFailedLoginParams{UserID: id, LockedUntil: ptr(r, r.now())})
	},
	"DeleteAuthConfig": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteAuthConfig(ctx, id)
		return err
	},

	"CreateSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok || d.full(d.sessions, 3) {
			return errNothingToDo
		}
		_, err := q.CreateSession(ctx, repo.CreateSessionParams{UserID: id, Title: r.text(), MoodBefore: ptr(r, int16(r.IntN(11)))})
		return err
	},
	"UpdateSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateSession(ctx, repo.UpdateSessionParams{
			ID: s.id, UserID: s.user, Title: r.text(), Status: repo.SessionStatusPaused, Pinned: r.chance(2), Summary: ptr(r, r.text()), EndedAt: ptr(r, r.now()),
		})
		return err
	},
	"RenameSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.RenameSession(ctx, repo.RenameSessionParams{ID: s.id, Title: r.text()})
		return err
	},
	"CompleteSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.CompleteSession(ctx, repo.CompleteSessionParams{ID: s.id, MoodAfter: ptr(r, int16(r.IntN(11)))})
		return err
	},
	"DeleteSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteSession(ctx, s.id)
		return err
	},
	"DeleteSessionsOfUser": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteSessionsOfUser(ctx, id)
		return err
	},

	"CreateMessage": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok || d.full(d.messages, 7) {
			return errNothingToDo
		}
		_, err := q.CreateMessage(ctx, repo.CreateMessageParams{
			SessionID: s.id, UserID: s.user, Role: repo.MessageRoleClient, Content: r.text(), TokenCount: r.Int32N(100), Metadata: r.jsonText(),
		})
		return err
	},
	"ImportMessages": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		if len(d.sessions) == 0 || d.full(d.messages, 6) {
			return errNothingToDo
		}
		var rows []repo.ImportMessagesParams
		for range 1 + r.IntN(3) {
			s := pick(r, d.sessions)
			rows = append(rows, repo.ImportMessagesParams{
				ID: uuid.New(), SessionID: s.id, UserID: s.user, Role: repo.MessageRoleAssistant, Content: r.text(), CreatedAt: r.now(),
			})
		}
		_, err := q.ImportMessages(ctx, rows)
		return err
	},
	"UpdateMessage": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		m, ok := any1(r, d.messages)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateMessage(ctx, repo.UpdateMessageParams{SessionID: m.session, ID: m.id, Content: r.text(), TokenCount: r.Int32N(100)})
		return err
	},
	"FlagMessages": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		if len(d.messages) == 0 {
			return errNothingToDo
		}
		_, err := q.FlagMessages(ctx, []uuid.UUID{pick(r, d.messages).id, pick(r, d.messages).id, nobody})
		return err
	},
	"DeleteMessage": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		m, ok := any1(r, d.messages)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteMessage(ctx, repo.DeleteMessageParams{ID: m.id, SessionID: m.session, UserID: m.user})
		return err
	},

	"CreateCBTEntry": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok || d.full(d.entries, 4) {
			return errNothingToDo
		}
		_, err := q.CreateCBTEntry(ctx, repo.CreateCBTEntryParams{SessionID: s.id, UserID: s.user, Kind: repo.CBTKindExposure, Data: r.jsonText(), Distress: ptr(r, r.Float64())})
		return err
	},
	"UpdateCBTEntry": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		e, ok := any1(r, d.entries)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateCBTEntry(ctx, repo.UpdateCBTEntryParams{SessionID: e.session, ID: e.id, Data: r.jsonText(), Distress: ptr(r, r.Float64()), Completed: r.chance(2)})
		return err
	},
	"MergeCBTData": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		e, ok := any1(r, d.entries)
		if !ok {
			return errNothingToDo
		}
		_, err := q.MergeCBTData(ctx, repo.MergeCBTDataParams{ID: e.id, Patch: []byte(fmt.Sprintf(`{"mood": %d}`, r.IntN(11)))})
		return err
	},
	"DeleteCBTEntry": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		e, ok := any1(r, d.entries)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteCBTEntry(ctx, repo.DeleteCBTEntryParams{SessionID: e.session, ID: e.id})
		return err
	},

	"CreateReport": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.CreateReport(ctx, repo.CreateReportParams{SessionID: s.id, UserID: s.user, Kind: r.kind(), Title: r.text(), Body: r.jsonText()})
		return err
	},
	"SaveReport": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.SaveReport(ctx, repo.SaveReportParams{SessionID: s.id, UserID: s.user, Kind: r.kind(), Title: r.text(), Body: r.jsonText(), TokenTotal: r.Int64N(99)})
		return err
	},
	"UpdateReport": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateReport(ctx, repo.UpdateReportParams{UserID: s.user, SessionID: s.id, Kind: r.kind(), Title: r.text(), Body: r.jsonText()})
		return err
	},
	"SignReport": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		return q.SignReport(ctx, repo.SignReportParams{UserID: s.user, SessionID: s.id, Kind: r.kind(), SignedAt: r.now()})
	},
	"DeleteReport": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		s, ok := any1(r, d.sessions)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteReport(ctx, repo.DeleteReportParams{UserID: s.user, SessionID: s.id, Kind: r.kind()})
		return err
	},

	"CreateDevice": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok || d.full(d.devices, 3) {
			return errNothingToDo
		}
		_, err := q.CreateDevice(ctx, repo.CreateDeviceParams{UserID: id, Platform: repo.DevicePlatformWeb, Name: r.text(), PushToken: ptr(r, uuid.NewString())})
		return err
	},
	"UpdateDevice": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		v, ok := any1(r, d.devices)
		if !ok {
			return errNothingToDo
		}
		if l, ok := any1(r, d.logins); ok && l.session != uuid.Nil && !r.chance(3) {
			v.id = l.session // ListUserSessions shows its name
		}
		_, err := q.UpdateDevice(ctx, repo.UpdateDeviceParams{ID: v.id, Name: r.text() + uuid.NewString(), Trusted: r.chance(2), LastSeenAt: ptr(r, r.now())})
		return err
	},
	"DeleteDevice": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		v, ok := any1(r, d.devices)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteDevice(ctx, v.id)
		return err
	},
	"DeleteDevicesOfUser": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteDevicesOfUser(ctx, id)
		return err
	},

	"CreateUserSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok || d.full(d.logins, 4) {
			return errNothingToDo
		}
		arg := repo.CreateUserSessionParams{UserID: id, TokenHash: r.token(), ExpiresAt: r.now()}
		for _, v := range d.devices {
			if v.user == id && v.live {
				arg.DeviceID = &v.id
			}
		}
		_, err := q.CreateUserSession(ctx, arg)
		return err
	},
	"UpdateUserSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		l, ok := any1(r, d.logins)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateUserSession(ctx, repo.UpdateUserSessionParams{ID: l.id, LastSeenAt: r.now(), ExpiresAt: r.now(), IPAddress: ptr(r, r.text())})
		return err
	},
	"RevokeUserSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		l, ok := any1(r, d.logins)
		if !ok {
			return errNothingToDo
		}
		_, err := q.RevokeUserSession(ctx, l.text)
		return err
	},
	"RevokeUserSessions": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.RevokeUserSessions(ctx, id)
		return err
	},
	"DeleteUserSession": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		l, ok := any1(r, d.logins)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteUserSession(ctx, l.id)
		return err
	},
	"DeleteExpiredUserSessions": func(ctx context.Context, q repo.Querier, _ *dataset, r random) error {
		_, err := q.DeleteExpiredUserSessions(ctx, r.now())
		return err
	},
	"DeleteUserSessionsOfDevice": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		v, ok := any1(r, d.devices)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteUserSessionsOfDevice(ctx, v.id)
		return err
	},
	"DeleteUserSessionsOfUser": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		id, ok := any1(r, d.users)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteUserSessionsOfUser(ctx, id)
		return err
	},

	"CreateTherapyPrompt": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		if d.full(d.prompts, 4) {
			return errNothingToDo
		}
		arg := repo.CreateTherapyPromptParams{
			Slug: uuid.NewString(), Category: pick(r, []repo.PromptCategory{repo.PromptCategoryGrounding, repo.PromptCategorySleep}),
			Locale: pick(r, promptLocales), Title: r.text(), Body: r.text(), Weight: r.Float64(),
		}
		if id, ok := any1(r, d.users); ok && r.chance(2) {
			arg.AuthorID = &id
		}
		_, err := q.CreateTherapyPrompt(ctx, arg)
		return err
	},
	"UpdateTherapyPrompt": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		p, ok := any1(r, d.prompts)
		if !ok {
			return errNothingToDo
		}
		_, err := q.UpdateTherapyPrompt(ctx, repo.UpdateTherapyPromptParams{ID: p.id, Title: r.text(), Body: r.text(), Weight: r.Float64(), Active: !r.chance(4)})
		return err
	},
	"CountTherapyPromptUse": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		p, ok := any1(r, d.prompts)
		if !ok {
			return errNothingToDo
		}
		_, err := q.CountTherapyPromptUse(ctx, p.id)
		return err
	},
	"DeleteTherapyPrompt": func(ctx context.Context, q repo.Querier, d *dataset, r random) error {
		p, ok := any1(r, d.prompts)
		if !ok {
			return errNothingToDo
		}
		_, err := q.DeleteTherapyPrompt(ctx, p.id)
		return err
	},
}

func any1[T any](r random, from []T) (v T, ok bool) {
	if len(from) == 0 {
		return v, false
	}
	return pick(r, from), true
}

func living(rows []child) (n int) {
	for _, c := range rows {
		if c.live {
			n++
		}
	}
	return n
}

// replenish adds rows where there are hardly any left.
func (d *dataset) replenish(ctx context.Context, t *testing.T, q repo.Querier, r random) (added bool) {
	t.Helper()
	for _, table := range []struct {
		live   int
		create string
	}{
		{len(d.users) - ghosts, "CreateUser"},
		{living(d.sessions), "CreateSession"},
		{living(d.messages), "CreateMessage"},
		{living(d.entries), "CreateCBTEntry"},
		{living(d.devices), "CreateDevice"},
		{living(d.logins), "CreateUserSession"},
		{living(d.prompts), "CreateTherapyPrompt"},
	} {
		for range 2 - table.live {
			err := mutations[table.create](ctx, q, d, r)
			require.True(t, harmless(err), "%s: %v", table.create, err)
			added = true
		}
	}
	return added
}

// full keeps a data set small.
func (d *dataset) full(rows []child, n int) bool { return !d.unbounded && living(rows) > n }

func (r random) kind() repo.ReportKind {
	return pick(r, []repo.ReportKind{repo.ReportKindSummary, repo.ReportKindRisk})
}

// now is a time within the last ten days, in microseconds as Postgres keeps them.
func (r random) now() time.Time {
	return time.Now().Add(-time.Duration(r.Int64N(int64(240 * time.Hour)))).Truncate(time.Microsecond)
}

// TestEveryWriteIsTried keeps the oracle complete: a new write needs a mutation.
func TestEveryWriteIsTried(t *testing.T) {
	t.Parallel()
	_, writes := queryNames(t)
	require.ElementsMatch(t, slices.Collect(maps.Keys(writes)), slices.Collect(maps.Keys(mutations)))
}

// harmless are the errors by which a random write finds nothing to change, or is refused by a constraint.
func harmless(err error) bool {
	var pgErr *pgconn.PgError
	return err == nil || errors.Is(err, errNothingToDo) || errors.Is(err, pgx.ErrNoRows) ||
		errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "23")
}

// TestEveryWriteInvalidatesEveryRead is the generator's oracle: after each write, alone or with others in a transaction,
// committed or rolled back, every cached read gives what the source gives, in another process and in the writer's.
func TestEveryWriteInvalidatesEveryRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	r := newRandom(t)
	r.fillTables(ctx, t, w.pool, 2)
	var d dataset
	require.NoError(t, d.load(ctx, w.pool))
	var processes []*cached.Queries
	var caches []*cache.Cache
	for range 2 {
		q, c := w.queries()
		processes, caches = append(processes, q), append(caches, c)
	}
	source := w.source()
	names := slices.Sorted(maps.Keys(mutations))

	reads := 0
	last := make(map[string]any)                // what the source said, by probe
	changed := make(map[string]map[string]bool) // write → reads whose result it has changed
	check := func(what string) {
		t.Helper()
		require.NoError(t, d.load(ctx, w.pool))
		probes := d.probes()
		wants := make(map[string]any, len(probes))
		errs := make(map[string]error, len(probes))
		var mu sync.Mutex
		eachProbe(probes, func(p probe) string {
			v, err := p.run(ctx, source)
			id := p.query + p.args
			mu.Lock()
			defer mu.Unlock()
			wants[id], errs[id] = p.normal(v), err
			if old, ok := last[id]; ok && p.differ(old, nil, v, nil) != "" {
				if changed[what] == nil {
					changed[what] = make(map[string]bool)
				}
				changed[what][p.query] = true
			}
			return ""
		})
		last = wants
		for i, q := range processes { // the second to look also fills what the fence kept the first from filling
			said := eachProbe(probes, func(p probe) string {
				got, err := p.run(ctx, q)
				return p.differ(wants[p.query+p.args], errs[p.query+p.args], got, err)
			})
			require.Empty(t, said, "process %d after %s", i, what)
			reads += len(probes)
		}
	}
	check("nothing")
	steps := 0
	for stop := time.Now().Add(checkFor(t)); steps < 250 || time.Now().Before(stop); steps++ {
		step := steps
		writer := processes[r.IntN(2)]
		slices.Reverse(processes) // either is the first to look
		name := pick(r, names)
		if step < 4*len(names) { // each of them four times, and then at random
			if step%len(names) == 0 {
				r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
			}
			name = names[step%len(names)]
		}
		if d.replenish(ctx, t, writer, r) {
			check("Create…")
		}
		var err error
		switch {
		case step < 4*len(names):
			for range 20 { // until it has something to change
				if err = mutations[name](ctx, writer, &d, r); err == nil {
					break
				}
				require.True(t, harmless(err), "%s: %v", name, err)
			}
		case r.chance(3):
			name += " in a transaction"
			rollback := r.chance(4)
			err = writer.InTx(ctx, pgx.TxOptions{}, func(q *cached.Queries) error {
				for range 1 + r.IntN(3) {
					if err := mutations[pick(r, names)](ctx, q, &d, r); err != nil && !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, errNothingToDo) {
						return err
					}
				}
				if rollback {
					return errNothingToDo
				}
				return nil
			})
		default:
			err = mutations[name](ctx, writer, &d, r)
		}
		require.True(t, harmless(err), "%s: %v", name, err)
		check(name)
	}

	// That the oracle looked at something: most reads were hits, and every cached read was seen to change.
	for _, c := range caches {
		require.Greater(t, c.Stats().Total().HitRate(), 0.5)
	}
	cachedReads, _ := queryNames(t)
	seen := make(map[string]bool)
	pairs := 0
	for _, of := range changed {
		for read := range of {
			seen[read] = true
			pairs++
		}
	}
	for read := range cachedReads {
		require.True(t, seen[read], "no write changed what %s returns", read)
	}
	t.Logf("%d steps, %d reads, %d pairs of a write and a read that it changed", steps, reads, pairs)
}

// TestInvalidationOracleSees shows that the oracle is not blind: the same writes, made round the cache, leave stale reads.
func TestInvalidationOracleSees(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	r := newRandom(t)
	q, c := w.queries()
	source := w.source()
	_, writes := queryNames(t)
	var blind []string
	d := dataset{unbounded: true}
	for name := range writes {
		if name == "CreateUser" || name == "UpdateUser" { // no cached read depends on them
			continue
		}
		found := false
		for try := 0; try < 30 && !found; try++ {
			if len(d.users) == 0 || try%6 == 5 || living(d.sessions) < 2 || living(d.entries) < 1 || living(d.devices) < 1 || living(d.logins) < 1 || living(d.prompts) < 1 {
				_, err := w.pool.Exec(ctx, "truncate users cascade")
				require.NoError(t, err)
				r.fillTables(ctx, t, w.pool, 2)
				w.forget(ctx, "")
				d = dataset{unbounded: true}
				require.NoError(t, d.load(ctx, w.pool))
			}
			for range 2 { // a load does not wait for its fill
				eachProbe(d.probes(), func(p probe) string { _, _ = p.run(ctx, q); return "" })
			}
			err := mutations[name](ctx, source, &d, r)
			require.True(t, harmless(err), "%s: %v", name, err)
			if err != nil {
				continue
			}
			stale := compare(ctx, d.probes(), source, q)
			found = len(stale) > 0
			for _, s := range stale {
				query, _, _ := strings.Cut(s, "(")
				w.forget(ctx, groupOf(c, query)+":")
			}
		}
		if !found {
			blind = append(blind, name)
		}
	}
	require.Empty(t, blind, "writes that the oracle would not miss if they were not mapped")
}

// groupOf finds the group of a query that has been read.
func groupOf(c *cache.Cache, query string) string {
	for name, g := range c.Stats().Groups {
		if _, ok := g.Queries[query]; ok {
			return name
		}
	}
	return ""
}

// forget removes what is cached of a group, or of all, behind the cache's back.
func (w *world) forget(ctx context.Context, group string) {
	w.t.Helper()
	for _, k := range w.keys(ctx) {
		if strings.HasPrefix(k, w.ns+":{"+group) && !strings.Contains(k, "{~epoch") {
			require.NoError(w.t, w.rdb.Unlink(ctx, k).Err())
		}
	}
}

// keys lists the keys of the world's namespace.
func (w *world) keys(ctx context.Context) []string {
	w.t.Helper()
	var out []string
	for it := w.rdb.Scan(ctx, 0, w.ns+":*", 1000).Iterator(); ; {
		if !it.Next(ctx) {
			require.NoError(w.t, it.Err())
			return out
		}
		out = append(out, it.Val())
	}
}
