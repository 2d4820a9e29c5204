package gen

import (
	"testing"
)

// TestLargeProject generates the project that the benchmark measures, so that
// what is fast is also right.
func TestLargeProject(t *testing.T) {
	t.Parallel()

	res, err := Run(synthetic(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := res.Map("")
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, w := range m.Writes {
		keys += len(w.Keys)
	}
	if n := len(res.p.schema.tables); n != families*(perTable+1) {
		t.Errorf("%d tables and views, want %d", n, families*(perTable+1))
	}
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"queries", len(res.p.src.queries), 600},
		{"groups", len(m.Groups), families * 6},
		{"reads", len(m.Reads), families * 9},
		{"writes", len(m.Writes), families * 11},
		{"keys", keys, families * 25},
	} {
		if c.got != c.want {
			t.Errorf("%d %s, want %d", c.got, c.what, c.want)
		}
	}
}
