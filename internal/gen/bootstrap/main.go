// Command bootstrap writes ./cached as "pgaside generate" does. It is for this
// repository alone, whose pgaside holds a demo that imports cached and so can't
// be built while cached doesn't compile:
//
//	go run ./internal/gen/bootstrap
package main

import (
	"fmt"
	"os"

	"github.com/pgaside/pgaside/internal/gen"
)

func main() {
	if err := generate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate() error {
	conf, err := gen.ReadConfig("")
	if err != nil {
		return err
	}
	res, _, err := gen.RunAll(conf.Projects)
	if err != nil {
		return err
	}
	_, err = res.Write()
	return err
}
