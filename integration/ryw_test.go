package integration

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pgaside/pgaside/repo"
)

// TestReadYourWrites: a read that starts after a write has returned sees it, in every process.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	here, _ := w.queries()
	there := w.peer("")
	s := w.session(ctx)
	require.Equal(t, "first", there.do("get %s", s.ID))
	for i := range 100 {
		title := fmt.Sprintf("title%d", i)
		if i%2 == 0 {
			_, err := here.RenameSession(ctx, repo.RenameSessionParams{ID: s.ID, Title: title})
			require.NoError(t, err)
			require.Equal(t, title, there.do("get %s", s.ID))
		} else {
			require.Equal(t, "ok", there.do("rename %s %s", s.ID, title))
		}
		got, err := here.GetSession(ctx, s.ID)
		require.NoError(t, err)
		require.Equal(t, title, got.Title)
		require.Equal(t, title, there.do("get %s", s.ID))
	}
}
