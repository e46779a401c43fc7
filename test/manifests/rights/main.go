// Command rights prints the README's table of what the shipped ClusterRole
// allows Crossplane.
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
	path := filepath.Join(root, filepath.FromSlash(manifests.ClusterRoleFile))
	clusterRole, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read ClusterRole %q: %w", path, err)
	}
	table, err := manifests.RightsTable(clusterRole)
	if err != nil {
		return err
	}
	fmt.Print(table)
	return nil
}
