// Package row has the name of a variable of the generated code.
package row

// ID identifies a row.
type ID [16]byte
