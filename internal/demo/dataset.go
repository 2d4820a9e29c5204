package demo

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/pgaside/pgaside/repo"
)

// The size of the seeded database at scale 1.
const (
	usersAtFullScale   = 20_000
	sessionsPerUser    = 5  // on average: 1 to 9
	messagesPerSession = 10 // on average: 2 to 18
	promptsPerList     = 24 // for each category and locale
)

// epoch is when the seeded history begins. It lies well in the past, so that what the workload writes is always newest.
var epoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

var (
	promptCategories = []repo.PromptCategory{
		repo.PromptCategoryGrounding, repo.PromptCategoryReframing, repo.PromptCategoryActivation,
		repo.PromptCategorySleep, repo.PromptCategoryCrisis,
	}
	promptLocales = []string{"en", "de"}
)

// entity is a kind of seeded row. It is a part of every generated ID.
type entity uint8

const (
	entityUser entity = iota + 1
	entitySession
	entityMessage
	entityCBT
	entityDevice
	entityUserSession
	entityPrompt
)

// dataset describes the seeded rows without holding them: a row is a function of the seed and its number, so that the
// workload knows every ID, owner and count without asking the database, and two runs with one seed see the same rows.
type dataset struct {
	seed         uint64
	users        int
	prompts      int
	firstSession []int32 // by user, and one more: the sessions of user u are firstSession[u] … firstSession[u+1]-1
	owner        []int32 // by session
	firstMessage []int32 // by session, and one more: messages are numbered in this order
}

// newDataset lays out a dataset of the given scale; 1 is about 20,000 users, 100,000 sessions and 1,000,000 messages.
func newDataset(seed uint64, scale float64) *dataset {
	d := &dataset{
		seed:    seed,
		users:   max(20, int(usersAtFullScale*scale)),
		prompts: promptsPerList * len(promptCategories) * len(promptLocales),
	}
	d.firstSession = make([]int32, d.users+1)
	for u := range d.users {
		n := 1 + d.hash(entityUser, u)%(2*sessionsPerUser-1)
		d.firstSession[u+1] = d.firstSession[u] + int32(n)
		for range n {
			d.owner = append(d.owner, int32(u))
		}
	}
	d.firstMessage = make([]int32, len(d.owner)+1)
	for s := range d.owner {
		n := 2 + d.hash(entitySession, s)%(2*messagesPerSession-3)
		d.firstMessage[s+1] = d.firstMessage[s] + int32(n)
	}
	return d
}

func (d *dataset) sessions() int { return len(d.owner) }
func (d *dataset) messages() int { return int(d.firstMessage[len(d.owner)]) }

// activeUsers is how many people use the application while the demo runs: one in forty, but at least 200.
func (d *dataset) activeUsers() int { return min(d.users, max(200, d.users/40)) }

// messagesOf returns how many messages a session was seeded with.
func (d *dataset) messagesOf(session int) int {
	return int(d.firstMessage[session+1] - d.firstMessage[session])
}

// hasCBT reports whether a session was seeded with its one CBT entry, hasReport whether with its one stored report.
func (d *dataset) hasCBT(session int) bool    { return d.hash(entityCBT, session)%4 != 0 }
func (d *dataset) hasReport(session int) bool { return d.hash(entityCBT, session)%3 == 0 }

// hash mixes the seed, a kind and a number (splitmix64).
func (d *dataset) hash(kind entity, n int) uint64 {
	z := d.seed + uint64(kind)<<56 + uint64(n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// id returns the ID of a row: a UUID of version 7 whose time grows with the number, so that primary keys are loaded in
// order, as those of a real application would have been.
func (d *dataset) id(kind entity, n int) uuid.UUID {
	var id uuid.UUID
	h := d.hash(kind, n)
	binary.BigEndian.PutUint64(id[:8], uint64(epoch.UnixMilli()+int64(n))<<16)
	id[6] = 0x70 | byte(kind)
	id[7] = byte(h)
	binary.BigEndian.PutUint64(id[8:], h)
	id[8] = id[8]&0x3f | 0x80
	return id
}

func (d *dataset) userID(u int) uuid.UUID        { return d.id(entityUser, u) }
func (d *dataset) sessionID(s int) uuid.UUID     { return d.id(entitySession, s) }
func (d *dataset) ownerID(s int) uuid.UUID       { return d.userID(int(d.owner[s])) }
func (d *dataset) cbtID(s int) uuid.UUID         { return d.id(entityCBT, s) }
func (d *dataset) deviceID(u int) uuid.UUID      { return d.id(entityDevice, u) }
func (d *dataset) userSessionID(u int) uuid.UUID { return d.id(entityUserSession, u) }
func (d *dataset) promptID(p int) uuid.UUID      { return d.id(entityPrompt, p) }

// messageID returns the ID of a session's seeded message number j.
func (d *dataset) messageID(session, j int) uuid.UUID {
	return d.id(entityMessage, int(d.firstMessage[session])+j)
}

// token returns the bearer token hash of a user's seeded login.
func (d *dataset) token(u int) string {
	sum := sha256.Sum256([]byte("token " + strconv.Itoa(u) + " " + strconv.FormatUint(d.seed, 10)))
	return hex.EncodeToString(sum[:])
}

// promptList returns the category and locale of a prompt: every promptsPerList prompts in a row share both.
func (d *dataset) promptList(p int) (repo.PromptCategory, string) {
	list := p / promptsPerList
	return promptCategories[list/len(promptLocales)], promptLocales[list%len(promptLocales)]
}

// startedAt returns when a seeded session began.
func (d *dataset) startedAt(session int) time.Time {
	return epoch.Add(time.Duration(session)*time.Minute + time.Duration(d.hash(entitySession, session)%1e6)*time.Microsecond)
}

// messageAt returns when a session's seeded message number j was written.
func (d *dataset) messageAt(session, j int) time.Time {
	return d.startedAt(session).Add(time.Duration(j+1) * 37 * time.Second)
}
