package demo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgaside/pgaside/db"
	"github.com/pgaside/pgaside/internal/migrate"
	"github.com/pgaside/pgaside/repo"
)

// prepareDatabase migrates an empty database and loads the dataset into it. The load runs between the tables and their
// foreign keys and secondary indexes, which are then built once.
func prepareDatabase(ctx context.Context, url string, d *dataset, p *progress) error {
	if err := migrate.To(url, db.TablesVersion); err != nil {
		return err
	}
	if err := seed(ctx, url, d, p); err != nil {
		return err
	}
	p.stage("foreign keys and indexes", 0)
	defer p.done(0)
	if err := migrate.To(url, 0); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting after the load: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// VACUUM sets the hint bits and the visibility map now, and not while the workload is being measured.
	if _, err := conn.Exec(ctx, "VACUUM ANALYZE"); err != nil {
		return fmt.Errorf("vacuuming after the load: %w", err)
	}
	return nil
}

// table is one table's share of the load: n rows (or fewer, where row skips some), each made by row.
type table struct {
	name    string
	columns []string
	n       int
	row     func(i int, values []any) []any // appends the values of row i; leaves values empty to skip the row
}

// seed loads the dataset by COPY, table by table.
func seed(ctx context.Context, url string, d *dataset, p *progress) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting for the load: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, t := range d.tables() {
		p.stage(t.name, t.n)
		i, values := 0, make([]any, 0, len(t.columns))
		source := pgx.CopyFromFunc(func() ([]any, error) {
			for i < t.n {
				values = t.row(i, values[:0])
				i++
				if i%5_000 == 0 {
					p.set(i)
				}
				if len(values) > 0 {
					return values, nil
				}
			}
			return nil, nil
		})
		loaded, err := conn.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, source)
		if err != nil {
			return fmt.Errorf("loading table %s: %w", t.name, err)
		}
		p.done(int(loaded))
	}
	return nil
}

var (
	openings = []string{
		"This week I noticed that", "When I woke up today", "At work it is hard to say no, and", "Since our last talk",
		"I tried the breathing exercise;", "My sister called, and", "I wrote the thought down:", "Before the exam",
	}
	middles = []string{
		"the worry came back as soon as it was quiet", "I could name the feeling before it grew",
		"I kept thinking that everybody was watching me", "sleeping was a little easier than before",
		"my shoulders were tight all day long", "I went outside although I didn't want to",
		"the old thought felt less true than last time", "I had to laugh about it afterwards",
	}
	endings = []string{
		"and I would like to understand why.", "which surprised me.", "so I put it on the list.", "but it passed.",
		"and I gave it a four out of ten.", "and that is new.", "though it was only for an hour.", "as we had planned.",
	}
)

func sentence(h uint64) string {
	return openings[h%8] + " " + middles[h>>3%8] + " " + endings[h>>6%8]
}

// tables lists the seeded tables in an order that their foreign keys allow.
func (d *dataset) tables() []table {
	return []table{
		{
			"users",
			[]string{"id", "email", "display_name", "role", "locale", "created_at", "updated_at"},
			d.users,
			func(u int, v []any) []any {
				n := strconv.Itoa(u)
				at := epoch.Add(time.Duration(u) * time.Second)
				role := repo.UserRoleClient
				if u%20 == 0 {
					role = repo.UserRoleTherapist
				}
				var locale any
				if u%3 != 0 {
					locale = promptLocales[u%2]
				}
				return append(v, [16]byte(d.userID(u)), "user"+n+"@example.org", "User "+n, string(role), locale, at, at)
			},
		},
		{
			"therapy_prompts",
			[]string{"id", "slug", "category", "locale", "title", "body", "author_id", "weight", "created_at", "updated_at"},
			d.prompts,
			func(p int, v []any) []any {
				category, locale := d.promptList(p)
				h := d.hash(entityPrompt, p)
				var author any
				if p%4 != 0 {
					author = [16]byte(d.userID(p % d.users))
				}
				n := strconv.Itoa(p)
				return append(
					v, [16]byte(d.promptID(p)), string(category)+"-"+locale+"-"+n, string(category), locale, "Exercise "+n,
					strings.Repeat(sentence(h)+" ", 6), author, float64(h%100)/10, epoch, epoch,
				)
			},
		},
		{
			"auth_configs",
			[]string{"user_id", "mfa_enabled", "mfa_method", "allowed_methods", "session_minutes", "password_changed_at", "updated_at"},
			d.users,
			func(u int, v []any) []any {
				mfa := u%3 == 0
				var method, changed any
				if mfa {
					method, changed = string(repo.MFAMethodTotp), epoch
				}
				return append(v, [16]byte(d.userID(u)), mfa, method, []string{"password", "passkey"}, int32(30+u%90), changed, epoch)
			},
		},
		{
			"devices",
			[]string{"id", "user_id", "platform", "name", "push_token", "app_version", "trusted", "created_at", "last_seen_at"},
			d.users,
			func(u int, v []any) []any {
				platform, push := repo.DevicePlatformWeb, any(nil)
				if u%2 == 0 {
					platform, push = repo.DevicePlatformIos, "push-"+strconv.Itoa(u)
				}
				return append(
					v, [16]byte(d.deviceID(u)), [16]byte(d.userID(u)), string(platform), "Device of user "+strconv.Itoa(u), push,
					"4."+strconv.Itoa(u%10), u%5 == 0, epoch, epoch,
				)
			},
		},
		{
			"user_sessions",
			[]string{"id", "user_id", "device_id", "token_hash", "ip_address", "created_at", "last_seen_at", "expires_at"},
			d.users,
			func(u int, v []any) []any {
				var device, ip any
				if u%4 != 0 {
					device, ip = [16]byte(d.deviceID(u)), "192.0.2."+strconv.Itoa(u%250+1)
				}
				return append(
					v, [16]byte(d.userSessionID(u)), [16]byte(d.userID(u)), device, d.token(u), ip, epoch, epoch,
					epoch.AddDate(20, 0, 0),
				)
			},
		},
		{
			"sessions",
			[]string{"id", "user_id", "title", "status", "pinned", "mood_before", "mood_after", "summary", "started_at", "ended_at", "updated_at"},
			d.sessions(),
			func(s int, v []any) []any {
				h, at := d.hash(entitySession, s), d.startedAt(s)
				status, after, summary, ended := repo.SessionStatusActive, any(nil), any(nil), any(nil)
				if h%3 != 0 {
					status, after, summary, ended = repo.SessionStatusCompleted, int16(h>>8%11), sentence(h), at.Add(50*time.Minute)
				}
				return append(
					v, [16]byte(d.sessionID(s)), [16]byte(d.ownerID(s)), "Session "+strconv.Itoa(s), string(status), h%16 == 0,
					int16(h>>4%11), after, summary, at, ended, at,
				)
			},
		},
		{
			"cbt_entries",
			[]string{"id", "session_id", "user_id", "kind", "data", "distress", "completed", "created_at", "updated_at"},
			d.sessions(),
			func(s int, v []any) []any {
				if !d.hasCBT(s) {
					return v
				}
				h, at := d.hash(entityCBT, s), d.startedAt(s).Add(time.Minute)
				data := `{"mood":` + strconv.FormatUint(h%11, 10) + `,"situation":"` + sentence(h) + `","thought":"` + sentence(h>>9) + `"}`
				return append(
					v, [16]byte(d.cbtID(s)), [16]byte(d.sessionID(s)), [16]byte(d.ownerID(s)), string(repo.CBTKindThoughtRecord),
					[]byte(data), float64(h%100)/10, h%2 == 0, at, at,
				)
			},
		},
		{
			"reports",
			[]string{"session_id", "user_id", "kind", "title", "body", "risk_score", "token_total", "generated_at"},
			d.sessions(),
			func(s int, v []any) []any {
				if !d.hasReport(s) {
					return v
				}
				h := d.hash(entityCBT, s)
				return append(
					v, [16]byte(d.sessionID(s)), [16]byte(d.ownerID(s)), string(repo.ReportKindSummary), "Summary",
					[]byte(`{"text":"`+sentence(h)+`"}`), float64(h%100)/100, int64(h%10_000), d.startedAt(s).Add(time.Hour),
				)
			},
		},
		{
			"messages",
			[]string{"id", "session_id", "user_id", "role", "content", "token_count", "sentiment", "flagged", "metadata", "created_at"},
			d.messages(),
			d.messageRows(),
		},
	}
}

// messageRows returns the row function of messages, which must be called in order: it keeps the session it is in.
func (d *dataset) messageRows() func(int, []any) []any {
	s := 0
	return func(m int, v []any) []any {
		for m >= int(d.firstMessage[s+1]) {
			s++
		}
		j := m - int(d.firstMessage[s])
		h := d.hash(entityMessage, m)
		role, sentiment, metadata := repo.MessageRoleClient, any(nil), any(nil)
		if j%2 == 1 {
			role, metadata = repo.MessageRoleAssistant, []byte(`{"model":"reply-3"}`)
		} else {
			sentiment = float64(h%200)/100 - 1
		}
		return append(
			v, [16]byte(d.messageID(s, j)), [16]byte(d.sessionID(s)), [16]byte(d.ownerID(s)), string(role), sentence(h),
			int32(20+h%80), sentiment, h%500 == 0, metadata, d.messageAt(s, j),
		)
	}
}
