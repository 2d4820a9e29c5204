// Package db holds the reference schema: a therapy application's users, sessions, messages, CBT entries, reports,
// logins, settings, devices and prompts.
//
// The queries in db/queries are compiled by sqlc to package repo; their "-- @cache" annotations are what pgaside
// generates package cached from. Only the migrations are needed at run time, so only they are embedded.
package db

import "embed"

// MigrationsDir is the directory inside Migrations that holds the files, as golang-migrate's iofs source wants it:
//
//	source, err := iofs.New(db.Migrations, db.MigrationsDir)
const MigrationsDir = "migrations"

// Migrations holds the schema as golang-migrate files (000001_name.up.sql, 000001_name.down.sql).
//
//go:embed migrations/*.sql
var Migrations embed.FS

// TablesVersion is the migration after which every table is there, but no foreign key between them and no secondary
// index. A bulk load is quickest here; migrating on to the last version then builds each index and checks each
// reference once.
const TablesVersion = 4
