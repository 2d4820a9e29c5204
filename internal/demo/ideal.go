package demo

// ideal is the bound: a cache with unlimited memory, no expiry, no latency and no failures, which knows at once what a
// write changes and forgets exactly the keys that the generated code invalidates. No cache with these invalidations
// can hit more often, since a read misses here only if nobody has read the same result since it last changed.
type ideal struct {
	owner []int32
	keys  map[idealKey]map[op]struct{} // the cells under each key; an operation is its own cell
}

// idealKey is a key of a group: the group's name, and the subject's number.
type idealKey struct {
	group string
	n     int32
}

// idealResult counts the reads of a trace and those that the ideal cache serves, by type of data.
type idealResult struct {
	reads, hits map[string]int
}

// rate returns the hit rate over all types.
func (r idealResult) rate() float64 {
	reads, hits := 0, 0
	for t, n := range r.reads {
		reads, hits = reads+n, hits+r.hits[t]
	}
	return ratio(hits, reads)
}

// idealHits replays a trace against the ideal cache, and counts from operation number from on.
func idealHits(d *dataset, trace []op, from int) idealResult {
	m := ideal{owner: d.owner, keys: map[idealKey]map[op]struct{}{}}
	r := idealResult{reads: map[string]int{}, hits: map[string]int{}}
	for i, o := range trace {
		info := &kinds[o.kind]
		if info.write {
			m.write(o)
			continue
		}
		hit := m.read(o)
		if i < from {
			continue
		}
		r.reads[info.typ]++
		if hit {
			r.hits[info.typ]++
		}
	}
	return r
}

// read reports whether a read hits, and remembers its result.
func (m *ideal) read(o op) bool {
	key := idealKey{readGroup[o.kind], o.n}
	cells := m.keys[key]
	if _, hit := cells[o]; hit {
		return true
	}
	if cells == nil {
		cells = map[op]struct{}{}
		m.keys[key] = cells
	}
	cells[o] = struct{}{}
	return false
}

// write forgets the keys that a write invalidates.
func (m *ideal) write(o op) {
	for _, group := range writeGroups[o.kind] {
		n := o.n
		switch group {
		case "session_list":
			n = m.owner[n]
		case "prompt_list":
			n /= promptsPerList
		}
		delete(m.keys, idealKey{group, n})
	}
}

// readGroup and writeGroups repeat for the model what the generator derived for the operations of the workload. A test
// compares them with the keys that the generated code really invalidates.
var (
	readGroup = map[opKind]string{
		opGetSession:            "session",
		opListSessions:          "session_list",
		opListMessages:          "message",
		opListMessagesBefore:    "message",
		opCountMessages:         "message",
		opListCBTEntries:        "cbt",
		opSessionReport:         "report",
		opGetReport:             "report",
		opGetUserSessionByToken: "user_session_token",
		opListUserSessions:      "user_session_list",
		opGetAuthConfig:         "auth_config",
		opGetDevice:             "device",
		opListDevices:           "device_list",
		opGetTherapyPrompt:      "prompt",
		opListTherapyPrompts:    "prompt_list",
	}
	writeGroups = map[opKind][]string{
		opCreateMessage:       {"message", "report"},
		opCreateReply:         {"message", "report"},
		opRenameSession:       {"session", "session_list", "report"},
		opUpdateCBTEntry:      {"cbt", "report"},
		opCreateCBTEntry:      {"cbt", "report"},
		opSaveReport:          {"report", "session_reports"},
		opUpdateUserSession:   {"user_session", "user_session_token", "user_session_list"},
		opSaveAuthConfig:      {"auth_config"},
		opUpdateDevice:        {"device", "device_list", "user_session_list"},
		opUpdateTherapyPrompt: {"prompt", "prompt_list"},
	}
)

func ratio[N int | int64](part, whole N) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
