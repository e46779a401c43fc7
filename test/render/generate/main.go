// Command generate writes the files of the examples that are made and not
// written by hand: xr.yaml, observed.yaml and required.yaml of each.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"threescale.dev/backup/test/render"
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
	for _, scenario := range render.Scenarios() {
		files, err := render.Inputs(root, scenario)
		if err != nil {
			return err
		}
		for _, name := range []string{render.XRFile, render.ObservedFile, render.RequiredFile} {
			if err := write(filepath.Join(root, "examples", scenario.Name, name), files[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// write removes a file that an example no longer has.
func write(path string, data []byte) error {
	if data == nil {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot remove %q: %w", path, err)
		}
		return nil
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("cannot write %q: %w", path, err)
	}
	return nil
}
