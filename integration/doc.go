// Package integration proves pgaside's promises on real servers, one promise a file. See harness_test.go for how a test gets a
// world of its own.
package integration
