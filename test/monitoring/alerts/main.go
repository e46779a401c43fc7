// Command alerts prints the tables of the metrics and of the alerts for
// manifests/monitoring/README.md.
package main

import (
	"flag"
	"fmt"
	"os"

	"threescale.dev/backup/test/monitoring"
)

func main() {
	root := flag.String("root", ".", "root of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	base, err := monitoring.Load(root)
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s", base.Config.MetricsTable(), base.AlertsTable())
	return nil
}
