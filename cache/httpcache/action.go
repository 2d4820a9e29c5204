package httpcache

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/pgaside/pgaside/cache"
)

const (
	// maxBody is the most bytes of a request.
	maxBody = 64 << 10

	// maxKeys is the most keys that one request invalidates.
	maxKeys = 1000
)

// Action is the body of a POST to /api/health/cache.
type Action struct {
	// Action is get_stats, reset_stats or invalidate. The last two need the token.
	Action string `json:"action"`

	// Group, for invalidate, and in it either Keys, or all of it. A key is a text, or a list of texts where the group has
	// several parts.
	Group string `json:"group"`
	Keys  []Key  `json:"keys"`
	All   bool   `json:"all"`
}

// Key is the parts of a key as text; see cache.ParseKey.
type Key []string

// UnmarshalJSON reads a string, or a list of strings.
func (k *Key) UnmarshalJSON(b []byte) error {
	var one *string
	if json.Unmarshal(b, &one) == nil && one != nil {
		*k = Key{*one}
		return nil
	}
	var parts []*string
	if json.Unmarshal(b, &parts) != nil || len(parts) == 0 || slices.Contains(parts, nil) {
		return errors.New("a key is a text, or a list of texts")
	}
	*k = make(Key, len(parts))
	for i, p := range parts {
		(*k)[i] = *p
	}
	return nil
}

// Invalidated is the answer to invalidate.
type Invalidated struct {
	Group string `json:"group"`
	Keys  int    `json:"keys"` // 0 = the whole group

	// Pending says that Redis could not be told: it is retried, and until then other processes may serve what they have.
	Pending bool `json:"pending"`
}

// act carries out the action in a request's body.
func (h *Handler) act(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		w.Header().Set("Accept-Post", "application/json")
		problem{Status: http.StatusUnsupportedMediaType, Detail: "Content-Type must be application/json."}.write(w)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		p := problem{Status: http.StatusBadRequest, Detail: "The body could not be read."}
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			p = problem{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body may have %d bytes.", maxBody)}
		}
		p.write(w)
		return
	}
	a, err := parseAction(body)
	if err != nil {
		problem{Status: http.StatusBadRequest, Detail: err.Error()}.write(w)
		return
	}
	switch a.Action {
	case "get_stats":
		writeJSON(w, http.StatusOK, h.c.Stats())
	case "reset_stats":
		if h.authorized(w, r) {
			h.c.ResetStats()
			h.opts.Logger.InfoContext(r.Context(), "httpcache: the statistics were reset")
			writeJSON(w, http.StatusOK, h.c.Stats())
		}
	case "invalidate":
		if h.authorized(w, r) {
			h.invalidate(w, r, a)
		}
	default:
		problem{Status: http.StatusUnprocessableEntity, Detail: "action must be get_stats, reset_stats or invalidate."}.write(w)
	}
}

// parseAction reads one JSON object and nothing after it. Its errors quote nothing of the body: it may hold keys.
func parseAction(body []byte) (Action, error) {
	bad := errors.New(`The body must be one JSON object with "action", and for invalidate "group" and either "keys" or "all".`)
	var a Action
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if d.Decode(&a) != nil {
		return Action{}, bad
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Action{}, bad
	}
	return a, nil
}

// authorized checks the token, and answers if it is not the right one.
func (h *Handler) authorized(w http.ResponseWriter, r *http.Request) bool {
	if h.opts.Token == "" {
		problem{
			Status: http.StatusForbidden,
			Detail: "No token is configured, so that nothing may be changed over HTTP: set httpcache.Options.Token (PGASIDE_TOKEN for pgaside serve).",
		}.write(w)
		return false
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	// Digests have one length, whatever the token's.
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(h.opts.Token))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
		return true
	}
	challenge := `Bearer realm="pgaside"`
	if r.Header.Get("Authorization") != "" {
		challenge += `, error="invalid_token"`
		h.opts.Logger.WarnContext(r.Context(), "httpcache: a request had a wrong token")
	}
	w.Header().Set("WWW-Authenticate", challenge)
	problem{Status: http.StatusUnauthorized, Detail: "This action needs Authorization: Bearer and the configured token."}.write(w)
	return false
}

// invalidate voids keys, or a whole group.
func (h *Handler) invalidate(w http.ResponseWriter, r *http.Request, a Action) {
	refuse := func(format string, args ...any) {
		problem{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf(format, args...)}.write(w)
	}
	group, ok := h.groups[a.Group]
	switch {
	case !ok:
		refuse("There is no such group. There are: %s.", strings.Join(slices.Sorted(maps.Keys(h.groups)), ", "))
		return
	case a.All == (len(a.Keys) > 0):
		refuse(`Give either "keys", or "all": true for the whole group.`)
		return
	case len(a.Keys) > maxKeys:
		refuse("At most %d keys at once.", maxKeys)
		return
	}
	keys := make([]cache.Key, len(a.Keys))
	for i, parts := range a.Keys {
		var err error
		if keys[i], err = cache.ParseKey(group, parts...); err != nil {
			refuse("Key %d: %s.", i+1, strings.TrimPrefix(err.Error(), "cache: "))
			return
		}
	}
	var err error
	if a.All {
		err = h.c.InvalidateGroup(r.Context(), group)
	} else {
		err = h.c.Invalidate(r.Context(), keys...)
	}
	out := Invalidated{Group: group.Name(), Keys: len(keys), Pending: errors.Is(err, cache.ErrInvalidationPending)}
	switch {
	case out.Pending:
		writeJSON(w, http.StatusAccepted, out)
	case err != nil:
		problem{Status: http.StatusServiceUnavailable, Detail: "The cache is closed: the program is ending."}.write(w)
	default:
		writeJSON(w, http.StatusOK, out)
	}
	h.opts.Logger.InfoContext(r.Context(), "httpcache: invalidated", "group", group.Name(), "keys", len(keys), "pending", out.Pending)
}
