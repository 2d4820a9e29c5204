package demo

import (
	"math"
	"math/rand/v2"
	"sort"
)

// opKind is one kind of operation of the workload: a query, with arguments that follow from the subject's number.
type opKind uint8

const (
	opGetSession opKind = iota
	opListSessions
	opListMessages
	opListMessagesBefore
	opCountMessages
	opListCBTEntries
	opSessionReport
	opGetReport
	opGetUserSessionByToken
	opListUserSessions
	opGetAuthConfig
	opGetDevice
	opListDevices
	opGetTherapyPrompt
	opListTherapyPrompts
	opCreateMessage
	opCreateReply
	opRenameSession
	opUpdateCBTEntry
	opCreateCBTEntry
	opSaveReport
	opUpdateUserSession
	opSaveAuthConfig
	opUpdateDevice
	opUpdateTherapyPrompt
	opKinds
)

// subject says what the number in an operation counts.
type subject uint8

const (
	bySession subject = iota
	byUser
	byPrompt
	byPromptList
)

// kindInfo describes a kind of operation.
type kindInfo struct {
	query   string // the name of the query, as sqlc and the cache's statistics know it
	typ     string // one of the eight types of data
	subject subject
	write   bool
	weight  int // among the reads, or among the writes
}

// types lists the eight types of data in the order of the tables that the demo prints.
var types = []string{"session", "message", "cbt", "report", "user_session", "auth_config", "device", "prompt"}

// kinds is the mix: a client that shows a login and its settings, a session with its newest messages, and now and then
// the rest. Most of what is written are messages; each comes with its reply.
var kinds = [opKinds]kindInfo{
	opGetSession:            {"GetSession", "session", bySession, false, 210},
	opListSessions:          {"ListSessions", "session", byUser, false, 30},
	opListMessages:          {"ListMessages", "message", bySession, false, 260},
	opListMessagesBefore:    {"ListMessagesBefore", "message", bySession, false, 4},
	opCountMessages:         {"CountMessages", "message", bySession, false, 4},
	opListCBTEntries:        {"ListCBTEntries", "cbt", bySession, false, 50},
	opSessionReport:         {"SessionReport", "report", bySession, false, 20},
	opGetReport:             {"GetReport", "report", bySession, false, 4},
	opGetUserSessionByToken: {"GetUserSessionByToken", "user_session", byUser, false, 210},
	opListUserSessions:      {"ListUserSessions", "user_session", byUser, false, 2},
	opGetAuthConfig:         {"GetAuthConfig", "auth_config", byUser, false, 80},
	opGetDevice:             {"GetDevice", "device", byUser, false, 60},
	opListDevices:           {"ListDevices", "device", byUser, false, 2},
	opGetTherapyPrompt:      {"GetTherapyPrompt", "prompt", byPrompt, false, 34},
	opListTherapyPrompts:    {"ListTherapyPrompts", "prompt", byPromptList, false, 30},

	opCreateMessage:       {"CreateMessage", "message", bySession, true, 40},
	opCreateReply:         {"CreateMessage", "message", bySession, true, 0}, // follows each message
	opRenameSession:       {"RenameSession", "session", bySession, true, 9},
	opUpdateCBTEntry:      {"UpdateCBTEntry", "cbt", bySession, true, 9},
	opCreateCBTEntry:      {"CreateCBTEntry", "cbt", bySession, true, 0}, // instead of an update where there is none
	opSaveReport:          {"SaveReport", "report", bySession, true, 3},
	opUpdateUserSession:   {"UpdateUserSession", "user_session", byUser, true, 24},
	opSaveAuthConfig:      {"SaveAuthConfig", "auth_config", byUser, true, 6},
	opUpdateDevice:        {"UpdateDevice", "device", byUser, true, 7},
	opUpdateTherapyPrompt: {"UpdateTherapyPrompt", "prompt", byPrompt, true, 2},
}

// op is one operation of a trace.
type op struct {
	kind opKind
	n    int32 // the number of the session, user, prompt or list of prompts
}

// zipfExponent is the skew of the workload. People are drawn by a Zipf law: the probability of rank r falls with r to
// this power. Reads and writes are drawn from the same law over the same people: what is read most also changes most.
const zipfExponent = 0.99

// currentSession is the share of session operations that concern a person's newest session; the others concern any of
// the person's sessions.
const currentSession = 0.8

// newTrace draws n operations of which a share writes.
func newTrace(d *dataset, seed uint64, n int, writes float64) []op {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	users := newRanking(r, d.users, d.activeUsers())
	prompts := newRanking(r, d.prompts, d.prompts)
	lists := newRanking(r, d.prompts/promptsPerList, d.prompts/promptsPerList)
	readKinds, writeKinds := wheel(false), wheel(true)
	// A message is two writes, the second of which is not drawn.
	pairs := float64(kinds[opCreateMessage].weight) / float64(len(writeKinds))
	writes /= 1 + pairs - writes*pairs
	trace := make([]op, 0, n+1)
	for len(trace) < n {
		wheel := readKinds
		if r.Float64() < writes {
			wheel = writeKinds
		}
		kind, subject := wheel[r.IntN(len(wheel))], 0
		switch kinds[kind].subject {
		case byUser:
			subject = users.next()
		case bySession:
			u := users.next()
			first, end := int(d.firstSession[u]), int(d.firstSession[u+1])
			subject = end - 1
			if r.Float64() > currentSession {
				subject = first + r.IntN(end-first)
			}
		case byPrompt:
			subject = prompts.next()
		case byPromptList:
			subject = lists.next()
		}
		switch {
		case kind == opUpdateCBTEntry && !d.hasCBT(subject):
			kind = opCreateCBTEntry
		case kind == opCreateMessage:
			trace = append(trace, op{kind, int32(subject)})
			kind = opCreateReply
		}
		trace = append(trace, op{kind, int32(subject)})
	}
	return trace[:n]
}

// wheel lists each kind as often as it weighs.
func wheel(write bool) []opKind {
	var w []opKind
	for kind, info := range kinds {
		if info.write == write {
			for range info.weight {
				w = append(w, opKind(kind))
			}
		}
	}
	return w
}

// ranking draws numbers by a Zipf law over a random choice, in a random order, of those below n.
type ranking struct {
	rand       *rand.Rand
	order      []int
	cumulative []float64 // by rank: the weights up to and including it
}

func newRanking(r *rand.Rand, n, choice int) *ranking {
	k := &ranking{rand: r, order: r.Perm(n)[:choice]}
	sum := 0.0
	for rank := range choice {
		sum += math.Pow(float64(rank+1), -zipfExponent)
		k.cumulative = append(k.cumulative, sum)
	}
	return k
}

func (k *ranking) next() int {
	x := k.rand.Float64() * k.cumulative[len(k.cumulative)-1]
	return k.order[sort.SearchFloat64s(k.cumulative, x)]
}
