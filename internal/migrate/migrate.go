// Package migrate brings a database to the reference application's schema.
package migrate

import (
	"errors"
	"fmt"
	"strings"

	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"

	"github.com/pgaside/pgaside/db"
)

// To applies the embedded migrations up to a version; 0 is the last one. A database that is there already is left as it is.
func To(url string, version uint) (err error) {
	source, err := iofs.New(db.Migrations, db.MigrationsDir)
	if err != nil {
		return fmt.Errorf("opening the embedded migrations: %w", err)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("parsing the database URL: %w", err)
	}
	driver, err := (&migratepgx.Postgres{}).Open(driverURL(url))
	if err != nil {
		return fmt.Errorf("opening database %q for migration: %w", config.Database, err)
	}
	m, err := migrate.NewWithInstance("iofs", source, config.Database, driver)
	if err != nil {
		return fmt.Errorf("preparing the migration: %w", err)
	}
	defer func() {
		sourceErr, driverErr := m.Close()
		err = errors.Join(err, sourceErr, driverErr)
	}()
	if version == 0 {
		err = m.Up()
	} else {
		err = m.Migrate(version)
	}
	if err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// driverURL gives a Postgres URL the scheme under which golang-migrate knows pgx.
func driverURL(url string) string {
	if _, rest, ok := strings.Cut(url, "://"); ok {
		return "pgx5://" + rest
	}
	return url
}
