//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// secretTemplate prints of a Secret which keys it has, never what they hold.
// Its annotations may hold the values too, so they are left out.
const secretTemplate = `{{range .items}}{{.metadata.namespace}}/{{.metadata.name}} {{.type}}:{{range $key, $value := .data}} {{$key}}{{end}}
{{end}}`

// Dump writes what is known of the cluster to a folder, for a test that failed:
// every object of every kind (of Secrets the names of the keys only), events,
// the logs of all pods and of all components. What cannot be had is said in the
// error, and the rest is written all the same.
func (c *Cluster) Dump(ctx context.Context, dir string) error {
	objects := filepath.Join(dir, "objects")
	if err := os.MkdirAll(objects, 0o750); err != nil {
		return fmt.Errorf("cannot create folder %q: %w", dir, err)
	}
	errs := []error{
		copyFolder(c.logDir(), filepath.Join(dir, "logs")),
		copyFolder(c.path("pod-logs"), filepath.Join(dir, "pod-logs")),
	}
	kinds, err := c.Kubectl(ctx, "", "api-resources", "--verbs=list", "-o", "name")
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, kind := range strings.Fields(kinds) {
		output := "yaml"
		if kind == "secrets" {
			output = "go-template=" + secretTemplate
		}
		out, err := c.Kubectl(ctx, "", "get", kind, "--all-namespaces", "--ignore-not-found", "-o", output)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if strings.TrimSpace(out) == "" || strings.Contains(out, "\nitems: []\n") || strings.HasPrefix(out, "apiVersion: v1\nitems: []\n") {
			continue
		}
		if err := os.WriteFile(filepath.Join(objects, kind+".yaml"), []byte(out), 0o600); err != nil {
			errs = append(errs, fmt.Errorf("cannot write dump of %q: %w", kind, err))
		}
	}
	return errors.Join(errs...)
}

// copyFolder copies a folder; one that does not exist is empty.
func copyFolder(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	// os.CopyFS replaces nothing, and a second dump into the same folder is to
	// replace the first.
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("cannot replace folder %q: %w", to, err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return fmt.Errorf("cannot copy folder %q: %w", from, err)
	}
	return nil
}
