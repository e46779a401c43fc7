// Command decrypted reads documents that SOPS encrypted, with the library that the sops command is made of, which takes minutes to build.
// It tells how many it could read: never a value.
package main

import (
	"errors"
	"fmt"
	"os"

	"threescale.dev/backup/test/decrypt"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run decrypts files with the identities of another one.
func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: decrypted IDENTITIES FILE [FILE]")
	}
	identities, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	for _, name := range args[1:] {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := decrypt.Document(data, identities); err != nil {
			return fmt.Errorf("cannot decrypt %q: %w", name, err)
		}
	}
	fmt.Printf("%d documents decrypted\n", len(args)-1)
	return nil
}
