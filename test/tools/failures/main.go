// Command failures prints what is known of the ways in which the mover fails as
// JSON: test/tools/generate, which makes a table of the documents of it, is a module
// of its own.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"threescale.dev/backup/fn/api/job"
)

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(job.Failures()); err != nil { //nolint:musttag // the names are those of the fields
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
