// Command rights prints the pages' tables of what the shipped roles allow
// Crossplane, the controller of restores, and a ServiceAccount that one names.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"threescale.dev/backup/test/manifests"
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
	for _, file := range []string{manifests.ClusterRoleFile, manifests.ControllerRoleFile, manifests.AccountRoleFile} {
		role, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			return fmt.Errorf("cannot read role: %w", err)
		}
		table, err := manifests.RightsTable(role)
		if err != nil {
			return fmt.Errorf("cannot print %q: %w", file, err)
		}
		fmt.Printf("%s\n\n%s\n", file, table)
	}
	return nil
}
