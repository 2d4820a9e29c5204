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
	res, err := gen.Run(gen.Options{})
	if err == nil {
		_, err = res.Write()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
