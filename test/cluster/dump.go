//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"
)

// Dump writes what is known of the cluster to a folder, for a test that failed:
// every object of every kind (of Secrets the names of the keys only), events,
// the logs of all pods and of all components. What cannot be had is said in the
// error, and the rest is written all the same.
func (c *Cluster) Dump(ctx context.Context, dir string) error {
	objects := filepath.Join(dir, "objects")
	if err := os.MkdirAll(objects, 0o750); err != nil {
		return fmt.Errorf("cannot create folder %q: %w", dir, err)
	}
	kinds, err := c.listedKinds()
	errs := []error{
		copyFolder(c.logDir(), filepath.Join(dir, "logs")),
		copyFolder(c.path("pod-logs"), filepath.Join(dir, "pod-logs")),
		err,
		c.dumpSecrets(ctx, filepath.Join(objects, "secrets.txt")),
	}
	for _, kind := range kinds {
		errs = append(errs, c.dumpKind(ctx, kind, objects))
	}
	return errors.Join(errs...)
}

// listedKinds are all kinds that can be listed, save Secrets. Where a group
// fails to answer, the others are there.
func (c *Cluster) listedKinds() ([]schema.GroupVersionKind, error) {
	client, err := discovery.NewDiscoveryClientForConfig(c.admin)
	if err != nil {
		return nil, fmt.Errorf("cannot create client of discovery: %w", err)
	}
	lists, err := discovery.ServerPreferredResources(client)
	if err != nil {
		err = fmt.Errorf("cannot discover kinds: %w", err)
	}
	var kinds []schema.GroupVersionKind
	for _, list := range lists {
		version, parseErr := schema.ParseGroupVersion(list.GroupVersion)
		err = errors.Join(err, parseErr)
		for _, resource := range list.APIResources {
			// Events are in two groups; the older has the newer's too.
			if !slices.Contains(resource.Verbs, "list") || resource.Name == "secrets" || version.Group == "events.k8s.io" {
				continue
			}
			kinds = append(kinds, version.WithKind(resource.Kind))
		}
	}
	return kinds, err
}

// dumpKind writes all objects of a kind to a file, if there are any.
func (c *Cluster) dumpKind(ctx context.Context, kind schema.GroupVersionKind, dir string) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := c.client.List(ctx, list); err != nil {
		return fmt.Errorf("cannot list %q: %w", kind.GroupKind(), err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	for i := range list.Items {
		list.Items[i].SetManagedFields(nil)
	}
	out, err := yaml.Marshal(list)
	if err != nil {
		return fmt.Errorf("cannot encode %q: %w", kind.GroupKind(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, kind.GroupKind().String()+".yaml"), out, 0o600); err != nil {
		return fmt.Errorf("cannot write dump of %q: %w", kind.GroupKind(), err)
	}
	return nil
}

// dumpSecrets writes of each Secret which keys it has, never what they hold. An
// annotation may hold that too, so there are none.
func (c *Cluster) dumpSecrets(ctx context.Context, path string) error {
	var secrets corev1.SecretList
	if err := c.client.List(ctx, &secrets); err != nil {
		return fmt.Errorf("cannot list Secrets: %w", err)
	}
	var out strings.Builder
	for _, secret := range secrets.Items {
		keys := make([]string, 0, len(secret.Data))
		for key := range secret.Data {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		fmt.Fprintf(&out, "%s/%s %s: %s\n", secret.Namespace, secret.Name, secret.Type, strings.Join(keys, " "))
	}
	if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
		return fmt.Errorf("cannot write dump of Secrets: %w", err)
	}
	return nil
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
