// Command kustomized builds a folder as Flux does, and lists the objects that
// come out: never a value, only whether those of a Secret are encrypted.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run lists the objects of one folder. A Secret in plain text is an error.
func run(args []string, stdout io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: kustomized FOLDER")
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), args[0])
	if err != nil {
		return fmt.Errorf("cannot build %q: %w", args[0], err)
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tKIND\tNAME\tVALUES")
	readable := 0
	for _, object := range built.Resources() {
		values := "readable"
		if object.GetKind() == "Secret" {
			if values = "encrypted"; !encrypted(object) {
				values = "NOT ENCRYPTED"
				readable++
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", object.GetNamespace(), object.GetKind(), object.GetName(), values)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot list the objects: %w", err)
	}
	if readable > 0 {
		return fmt.Errorf("%d Secrets are not encrypted", readable)
	}
	return nil
}

// encrypted tells whether SOPS has encrypted all values of a Secret; it leaves
// empty ones, which hide nothing.
func encrypted(secret *resource.Resource) bool {
	if field, err := secret.GetFieldValue("sops.mac"); err != nil || field == "" {
		return false
	}
	for _, value := range secret.GetDataMap() {
		if value != "" && !strings.HasPrefix(value, "ENC[") {
			return false
		}
	}
	return true
}
