package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgaside/pgaside/cache"
)

// Variables of the command; those of the cache are cache.OptionsFromEnv's.
const (
	envDatabaseURL = "DATABASE_URL"
	envAddr        = "PGASIDE_ADDR"
	envToken       = "PGASIDE_TOKEN" //nolint:gosec // the name of a variable
)

const defaultAddr = "127.0.0.1:4000"

// settings are the effective configuration of the command.
type settings struct {
	cache       *cache.Env
	databaseURL string
	addr        string
	token       string

	flags map[string]string // what flags say in place of variables, by the variable's name
}

// fromFlag is where a value comes from that a flag has decided.
const fromFlag cache.SettingSource = "flag"

// readSettings reads the environment. The cache's part may fail; so may the database's address.
func readSettings(groups ...cache.AnyGroup) (*settings, error) {
	env, err := cache.OptionsFromEnv(groups...)
	s := &settings{cache: env, databaseURL: os.Getenv(envDatabaseURL), addr: os.Getenv(envAddr), token: os.Getenv(envToken)}
	if s.databaseURL != "" {
		if _, e := pgxpool.ParseConfig(s.databaseURL); e != nil {
			// The error quotes the address, which may be too broken to tell where its password is.
			err = errors.Join(err, fmt.Errorf("environment variable %s is no address of a database: want postgres://user:password@host:port/database", envDatabaseURL))
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// list returns all settings, those of the command first.
func (s *settings) list() []cache.Setting {
	from := func(set bool) cache.SettingSource {
		if set {
			return cache.FromEnvironment
		}
		return cache.FromDefault
	}
	database, token := s.databaseURL, s.token
	if database != "" {
		database = cache.RedactURL(database)
	}
	if token != "" {
		token = "(hidden)"
	}
	all := append([]cache.Setting{
		{Name: envDatabaseURL, Value: database, Source: from(database != "")},
		{Name: envAddr, Value: cmp.Or(s.addr, defaultAddr), Source: from(s.addr != "")},
		{Name: envToken, Value: token, Source: from(token != "")},
	}, s.cache.Settings...)
	for i := range all {
		if v, ok := s.flags[all[i].Name]; ok {
			all[i].Value, all[i].Source = v, fromFlag
		}
	}
	return all
}

// configReport is what "pgaside config --json" prints.
type configReport struct {
	Settings []cache.Setting `json:"settings"`
	Warnings []string        `json:"warnings"`
}

// newConfigCommand returns "pgaside config".
func newConfigCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration that the environment gives, and where each value comes from",
		Long: `Config reads the environment as cache.OptionsFromEnv does, and prints every setting with its effective value and with its
source: "environment", or "default". Secrets are hidden. What your program's groups say of themselves only your program
knows: a group is listed here when a variable names it, CACHE_SESSION_TTL for one.

Exit code 0: printed. 1: a variable has a bad value, and the error says which and what is allowed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := readSettings()
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "pgaside:", err)
				return errFound
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), configReport{s.list(), append([]string{}, s.cache.Warnings...)})
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, v := range s.list() {
				fmt.Fprintf(t, "%s\t%s\t%s\n", v.Name, cmp.Or(v.Value, "(not set)"), v.Source)
			}
			if err := t.Flush(); err != nil {
				return fmt.Errorf("printing the configuration: %w", err)
			}
			for _, w := range s.cache.Warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// writeJSON prints one document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}
