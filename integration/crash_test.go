package integration

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/cache"
	"github.com/pgaside/pgaside/cached"
)

// TestWriterDies: a writer that is killed at any step of its write leaves nothing stale behind (A1, A15). Its fence keeps
// readers at the source until it runs out.
func TestWriterDies(t *testing.T) {
	t.Parallel()
	for _, step := range []struct{ failpoint, want string }{
		{"after-fence", "first"}, // before COMMIT: the write has not happened
		{"after-commit", "second"},
		{"before-clear", "second"},
	} {
		t.Run(step.failpoint, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			q, c := w.queries()
			s := w.session(ctx)
			key := w.redisKey("session", s.ID)
			w.warm(ctx, q, s.ID)

			writer := w.peer(step.failpoint)
			writer.send("rename %s second", s.ID)
			// A write does not wait for its fence to be taken away: it may have said "ok" by then.
			for line := writer.line(); line != "at "+step.failpoint; line = writer.line() {
				require.Equal(t, "ok", line)
			}
			writer.kill()

			require.Contains(t, w.fields(ctx, key), "!")
			for range 50 {
				require.Equal(t, step.want, w.title(ctx, q, s.ID))
			}
			require.NotContains(t, w.fields(ctx, key), "GetSession", "nothing is stored under a fence")
			require.EqualValues(t, 0, c.Stats().Groups["session"].Queries["GetSession"].Hits)

			// The key is not lost: somebody else's write takes the fence of the dead along only when it has run out, and an
			// invalidation by hand does not take it either.
			require.NoError(t, rename(ctx, q, s.ID, "third"))
			require.NoError(t, c.Invalidate(ctx, sessionKey(s.ID)))
			require.Equal(t, "third", w.title(ctx, q, s.ID))
			require.Contains(t, w.fields(ctx, key), "!")
		})
	}
}

func sessionKey(id uuid.UUID) cache.Key { return cached.Session.Key(id) }
