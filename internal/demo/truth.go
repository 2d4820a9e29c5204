package demo

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgaside/pgaside/repo"
)

// truth knows for everything that the workload reads the version that the last finished write left: a time, a revision or
// a number of rows, which only grows. A read must return at least the version that was true when it began; one that
// returns less is stale.
//
// Writes to one subject take turns, so that versions grow in the order of commits. Reads never wait.
type truth struct {
	data  *dataset
	locks [1024]sync.Mutex

	session, messages, created, cbt, report []atomic.Int64 // by session
	sessionList, login, auth, device        []atomic.Int64 // by user
	prompt                                  []atomic.Int64 // by prompt
	promptList                              []atomic.Int64 // by list of prompts
}

func newTruth(d *dataset) *truth {
	bySession := func() []atomic.Int64 { return make([]atomic.Int64, d.sessions()) }
	byUser := func() []atomic.Int64 { return make([]atomic.Int64, d.users) }
	return &truth{
		data:    d,
		session: bySession(), messages: bySession(), created: bySession(), cbt: bySession(), report: bySession(),
		sessionList: byUser(), login: byUser(), auth: byUser(), device: byUser(),
		prompt:     make([]atomic.Int64, d.prompts),
		promptList: make([]atomic.Int64, d.prompts/promptsPerList),
	}
}

// outcome is what one operation came to.
type outcome struct {
	took  time.Duration
	err   error
	stale bool
}

// do runs one operation through q, times it, and checks what it returned.
func (t *truth) do(ctx context.Context, q repo.Querier, o op) outcome {
	if kinds[o.kind].write {
		lock := &t.locks[(int(o.n)+int(kinds[o.kind].subject)*257)%len(t.locks)]
		lock.Lock()
		defer lock.Unlock()
		start := time.Now()
		err := t.write(ctx, q, o.kind, int(o.n))
		return outcome{took: time.Since(start), err: err}
	}
	floor := t.floor(o.kind, int(o.n))
	start := time.Now()
	version, err := t.read(ctx, q, o.kind, int(o.n))
	return outcome{took: time.Since(start), err: err, stale: err == nil && version < floor}
}

// floor returns the version that a read that begins now must return at least.
func (t *truth) floor(kind opKind, n int) int64 {
	switch kind {
	case opGetSession:
		return t.session[n].Load()
	case opListSessions:
		return t.sessionList[n].Load()
	case opListMessages:
		return t.messages[n].Load()
	case opListMessagesBefore:
		return int64(t.cursor(n)) // the page before the cursor never changes
	case opCountMessages, opSessionReport:
		return int64(t.data.messagesOf(n)) + t.created[n].Load()
	case opListCBTEntries:
		return t.cbt[n].Load()
	case opGetReport:
		return t.report[n].Load()
	case opGetUserSessionByToken, opListUserSessions:
		return t.login[n].Load()
	case opGetAuthConfig:
		return t.auth[n].Load()
	case opGetDevice, opListDevices:
		return t.device[n].Load()
	case opGetTherapyPrompt:
		return 1 + t.prompt[n].Load()
	case opListTherapyPrompts:
		return promptsPerList + t.promptList[n].Load()
	}
	panic("demo: not a read: " + kinds[kind].query)
}

// pageSize is the page of the lists that the workload asks for.
const pageSize = 20

// cursor is the number of the seeded message from which opListMessagesBefore pages backwards.
func (t *truth) cursor(session int) int { return t.data.messagesOf(session) / 2 }

// read runs a read and returns the version of what it returned.
func (t *truth) read(ctx context.Context, q repo.Querier, kind opKind, n int) (int64, error) {
	d := t.data
	switch kind {
	case opGetSession:
		row, err := q.GetSession(ctx, d.sessionID(n))
		return micros(row.UpdatedAt), err
	case opListSessions:
		rows, err := q.ListSessions(ctx, repo.ListSessionsParams{UserID: d.userID(n), PageSize: pageSize})
		return newest(rows, func(r repo.Session) time.Time { return r.UpdatedAt }), err
	case opListMessages:
		rows, err := q.ListMessages(ctx, repo.ListMessagesParams{SessionID: d.sessionID(n), PageSize: pageSize})
		return newest(rows, func(r repo.Message) time.Time { return r.CreatedAt }), err
	case opListMessagesBefore:
		j := t.cursor(n)
		rows, err := q.ListMessagesBefore(ctx, repo.ListMessagesBeforeParams{
			SessionID: d.sessionID(n), BeforeCreatedAt: d.messageAt(n, j), BeforeID: d.messageID(n, j), PageSize: pageSize,
		})
		return int64(len(rows)), err
	case opCountMessages:
		return q.CountMessages(ctx, d.sessionID(n))
	case opListCBTEntries:
		rows, err := q.ListCBTEntries(ctx, d.sessionID(n))
		return newest(rows, func(r repo.CBTEntry) time.Time { return r.UpdatedAt }), err
	case opSessionReport:
		row, err := q.SessionReport(ctx, repo.SessionReportParams{SessionID: d.sessionID(n), UserID: d.ownerID(n)})
		return row.MessageCount, err
	case opGetReport:
		row, err := q.GetReport(ctx, repo.GetReportParams{
			UserID: d.ownerID(n), SessionID: d.sessionID(n), Kind: repo.ReportKindSummary,
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil // not every session has one
		}
		return int64(row.Revision), err
	case opGetUserSessionByToken:
		row, err := q.GetUserSessionByToken(ctx, d.token(n))
		return micros(row.LastSeenAt), err
	case opListUserSessions:
		rows, err := q.ListUserSessions(ctx, d.userID(n))
		return newest(rows, func(r repo.ListUserSessionsRow) time.Time { return r.LastSeenAt }), err
	case opGetAuthConfig:
		row, err := q.GetAuthConfig(ctx, d.userID(n))
		return micros(row.UpdatedAt), err
	case opGetDevice:
		row, err := q.GetDevice(ctx, d.deviceID(n))
		return pointedMicros(row.LastSeenAt), err
	case opListDevices:
		rows, err := q.ListDevices(ctx, d.userID(n))
		version := int64(0)
		for _, r := range rows {
			version = max(version, pointedMicros(r.LastSeenAt))
		}
		return version, err
	case opGetTherapyPrompt:
		row, err := q.GetTherapyPrompt(ctx, d.promptID(n))
		return int64(row.Version), err
	case opListTherapyPrompts:
		category, locale := d.promptList(n * promptsPerList)
		rows, err := q.ListTherapyPrompts(ctx, repo.ListTherapyPromptsParams{Category: category, Locale: locale})
		version := int64(0)
		for _, r := range rows {
			version += int64(r.Version)
		}
		return version, err
	}
	panic("demo: not a read: " + kinds[kind].query)
}

// write runs a write, and when it has returned raises the versions that reads must see from now on.
func (t *truth) write(ctx context.Context, q repo.Querier, kind opKind, n int) error {
	d := t.data
	switch kind {
	case opCreateMessage, opCreateReply:
		arg := repo.CreateMessageParams{
			SessionID: d.sessionID(n), UserID: d.ownerID(n), Role: repo.MessageRoleClient, TokenCount: 40,
			Content: sentence(uint64(t.created[n].Load())),
		}
		if kind == opCreateReply {
			arg.Role, arg.Metadata = repo.MessageRoleAssistant, []byte(`{"model":"reply-3"}`)
		}
		row, err := q.CreateMessage(ctx, arg)
		if err != nil {
			return err
		}
		t.created[n].Add(1)
		raise(&t.messages[n], micros(row.CreatedAt))
	case opRenameSession:
		row, err := q.RenameSession(ctx, repo.RenameSessionParams{
			ID: d.sessionID(n), Title: "Session " + strconv.Itoa(n) + ", seen again",
		})
		if err != nil {
			return err
		}
		t.renamed(n, row)
	case opUpdateCBTEntry:
		row, err := q.UpdateCBTEntry(ctx, repo.UpdateCBTEntryParams{
			SessionID: d.sessionID(n), ID: d.cbtID(n), Data: []byte(`{"mood":6,"thought":"It is less likely than it feels."}`), Completed: true,
		})
		if err != nil {
			return err
		}
		raise(&t.cbt[n], micros(row.UpdatedAt))
	case opCreateCBTEntry:
		row, err := q.CreateCBTEntry(ctx, repo.CreateCBTEntryParams{
			SessionID: d.sessionID(n), UserID: d.ownerID(n), Kind: repo.CBTKindWorryLog, Data: []byte(`{"mood":5}`),
		})
		if err != nil {
			return err
		}
		raise(&t.cbt[n], micros(row.UpdatedAt))
	case opSaveReport:
		row, err := q.SaveReport(ctx, repo.SaveReportParams{
			SessionID: d.sessionID(n), UserID: d.ownerID(n), Kind: repo.ReportKindSummary, Title: "Summary", Body: []byte(`{}`),
		})
		if err != nil {
			return err
		}
		raise(&t.report[n], int64(row.Revision))
	case opUpdateUserSession:
		row, err := q.UpdateUserSession(ctx, repo.UpdateUserSessionParams{
			ID: d.userSessionID(n), LastSeenAt: t.later(&t.login[n]), ExpiresAt: epoch.AddDate(20, 0, 0),
		})
		if err != nil {
			return err
		}
		raise(&t.login[n], micros(row.LastSeenAt))
	case opSaveAuthConfig:
		row, err := q.SaveAuthConfig(ctx, repo.SaveAuthConfigParams{
			UserID: d.userID(n), AllowedMethods: []string{"password"}, SessionMinutes: 45,
		})
		if err != nil {
			return err
		}
		raise(&t.auth[n], micros(row.UpdatedAt))
	case opUpdateDevice:
		seen := t.later(&t.device[n])
		row, err := q.UpdateDevice(ctx, repo.UpdateDeviceParams{
			ID: d.deviceID(n), Name: "Device of user " + strconv.Itoa(n), Trusted: true, LastSeenAt: &seen,
		})
		if err != nil {
			return err
		}
		raise(&t.device[n], pointedMicros(row.LastSeenAt))
	case opUpdateTherapyPrompt:
		row, err := q.UpdateTherapyPrompt(ctx, repo.UpdateTherapyPromptParams{
			ID: d.promptID(n), Title: "Exercise " + strconv.Itoa(n), Body: sentence(d.hash(entityPrompt, n)), Weight: 1, Active: true,
		})
		if err != nil {
			return err
		}
		raise(&t.prompt[n], int64(row.Version)-1)
		t.promptList[n/promptsPerList].Add(1)
	default:
		panic("demo: not a write: " + kinds[kind].query)
	}
	return nil
}

// renamed raises the versions that a finished RenameSession changes.
func (t *truth) renamed(n int, row repo.Session) {
	raise(&t.session[n], micros(row.UpdatedAt))
	raise(&t.sessionList[t.data.owner[n]], micros(row.UpdatedAt))
}

// later returns the present time, or one after the version that is there already if the clock has not moved on.
func (t *truth) later(version *atomic.Int64) time.Time {
	return time.UnixMicro(max(time.Now().UnixMicro(), version.Load()+1))
}

// raise sets a version unless it is higher already.
func raise(version *atomic.Int64, to int64) {
	for {
		old := version.Load()
		if old >= to || version.CompareAndSwap(old, to) {
			return
		}
	}
}

// newest returns the latest time of some rows.
func newest[T any](rows []T, at func(T) time.Time) int64 {
	version := int64(0)
	for _, r := range rows {
		version = max(version, micros(at(r)))
	}
	return version
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func pointedMicros(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMicro()
}
