// Package money is a foreign package whose types stand for columns.
package money

import "database/sql/driver"

// Cents is an amount.
type Cents int64

// Code is a currency; it writes itself.
type Code string

// Value implements driver.Valuer.
func (c Code) Value() (driver.Value, error) { return string(c), nil }

// Terms is what a json column holds.
type Terms struct {
	Days  int      `json:"days"`
	Notes []string `json:"notes,omitempty"`
}
