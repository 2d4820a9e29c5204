package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Imports run downward only: what a floor links, it makes every user of it link.
func TestFloorsHold(t *testing.T) {
	t.Parallel()
	const module = "github.com/pgaside/pgaside"
	deps := func(pkg string) []string {
		out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
		require.NoError(t, err, "go list -deps %s", pkg)
		return strings.Fields(string(out))
	}
	telemetry := []string{"go.opentelemetry.io", "github.com/prometheus"}
	command := []string{
		"github.com/spf13/cobra", "github.com/pganalyze", "github.com/wasilibs", "golang.org/x/tools",
		"github.com/golang-migrate", "github.com/testcontainers", "github.com/schollz", "github.com/stretchr",
		"github.com/alicebob", module + "/internal", module + "/cmd",
	}
	for _, floor := range []struct {
		pkg       string
		forbidden []string
	}{
		{"/cache", append([]string{"github.com/jackc", "github.com/tinylib", module + "/repo", module + "/db", module + "/cached"}, append(telemetry, command...)...)},
		{"/repo", append([]string{"github.com/redis", module + "/cache", module + "/cached"}, append(telemetry, command...)...)},
		{"/db", append([]string{"github.com/redis", "github.com/jackc", module + "/cache", module + "/repo"}, append(telemetry, command...)...)},
		{"/cache/pgfence", append([]string{module + "/repo", module + "/db", module + "/cached"}, append(telemetry, command...)...)},
		{"/cache/wire", append([]string{"github.com/jackc", module + "/repo", module + "/cached"}, append(telemetry, command...)...)},
		{"/cache/cachetest", append([]string{"github.com/jackc", module + "/repo", module + "/cached"}, append(telemetry, command...)...)},
		{"/cache/audit", append([]string{"github.com/jackc", module + "/repo", module + "/cached"}, append(telemetry, command...)...)},
		{"/cache/httpcache", append([]string{"github.com/jackc", module + "/repo", module + "/cached"}, append(telemetry, command...)...)},
		{"/cached", append([]string{module + "/db"}, append(telemetry, command...)...)},
	} {
		for _, dep := range deps(floor.pkg) {
			for _, f := range floor.forbidden {
				if dep == f || strings.HasPrefix(dep, f+"/") {
					t.Errorf("%s links %s", module+floor.pkg, dep)
				}
			}
		}
	}
	// Only the command and the integration tests reach the generator and the servers.
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"/...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		pkg = strings.TrimPrefix(pkg, module)
		inside := strings.HasPrefix(pkg, "/internal") || strings.HasPrefix(pkg, "/cmd") || strings.HasPrefix(pkg, "/integration")
		for imp := range strings.FieldsSeq(imports) {
			if strings.HasPrefix(imp, module+"/internal/") && !inside {
				t.Errorf("%s imports %s", pkg, imp)
			}
		}
	}
}
