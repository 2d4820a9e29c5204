// Command pgaside generates a cached decorator for a package that sqlc wrote.
//
// It exits with 0 when all is well, 1 when something was found (a project that
// can't be generated, output that is not fresh, a demo that saw a stale read),
// and 2 when it was called wrongly or could not do its work.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// errFound ends a command with exit code 1; what was found is printed already.
var errFound = errors.New("found something")

func main() {
	os.Exit(run(context.Background(), newRootCommand()))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, root *cobra.Command) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	var coded interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	case errors.As(err, &coded):
		fmt.Fprintln(root.ErrOrStderr(), "pgaside:", err)
		return coded.ExitCode()
	}
	fmt.Fprintln(root.ErrOrStderr(), "pgaside:", err)
	return 2
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "pgaside",
		Short:         "Cached queries for sqlc and pgx, invalidated by every write that can change them",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newInitCommand(), newGenerateCommand(), newCheckCommand(), newExplainCommand(), newDemoCommand(), newFaultsCommand(), newAuditCommand(), newServersCommand(),
		newConfigCommand(), newServeCommand(), newStatusCommand(), newStatsCommand(), newInvalidateCommand(), newInspectCommand())
	return root
}
