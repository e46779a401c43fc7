//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"threescale.dev/backup/test/cluster"
)

const (
	installTimeout = time.Minute

	claimFlavour      = "claim"
	namespacedFlavour = "namespaced"
)

// flavour is what is installed.
var flavour string

// overlay is what the page tells a user to write: the shipped base, and where
// the image is.
const overlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [%s]
patches:
- target: {kind: Composition}
  patch: |-
    - op: replace
      path: /spec/pipeline/0/input/image
      value: %s
`

// installFlavour applies manifests/<wanted> and waits until Crossplane serves it.
func installFlavour(ctx context.Context, c *cluster.Cluster, wanted string) error {
	manifests, err := buildFlavour(wanted)
	if err != nil {
		return err
	}
	if err := c.ApplyYAML(ctx, manifests); err != nil {
		return err
	}
	flavour = wanted
	return cluster.Eventually(ctx, installTimeout, "the XRD to be established", func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, "", "get", "threescalebackups.backup.threescale.dev", "--all-namespaces")
		return err
	})
}

// removeFlavour deletes manifests/<wanted>, and waits until Crossplane has
// removed what it made of it. The role is the same in all flavours and stays.
func removeFlavour(ctx context.Context, c *cluster.Cluster, wanted string) error {
	for _, file := range []string{"composition.yaml", "xrd.yaml"} {
		if _, err := c.Kubectl(ctx, "", "delete", "--wait", "--timeout", installTimeout.String(), "-f", filepath.Join("../../manifests", wanted, file)); err != nil {
			return err
		}
	}
	return nil
}

func buildFlavour(wanted string) ([]byte, error) {
	base, err := filepath.Abs("../../manifests/" + wanted)
	if err != nil {
		return nil, fmt.Errorf("cannot find manifests: %w", err)
	}
	// Kustomize takes no absolute path as a resource, so the overlay lives
	// beside the base, in memory.
	fs := filesys.MakeFsOnDisk()
	dir, err := filesys.NewTmpConfirmedDir()
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder: %w", err)
	}
	defer fs.RemoveAll(dir.String())
	relative, err := filepath.Rel(dir.String(), base)
	if err != nil {
		return nil, fmt.Errorf("cannot find manifests: %w", err)
	}
	text := fmt.Sprintf(overlay, relative, image)
	if err := fs.WriteFile(filepath.Join(dir.String(), "kustomization.yaml"), []byte(text)); err != nil {
		return nil, fmt.Errorf("cannot write the overlay: %w", err)
	}
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = kustomize.LoadRestrictionsNone
	built, err := krusty.MakeKustomizer(options).Run(fs, dir.String())
	if err != nil {
		return nil, fmt.Errorf("cannot build manifests/%s: %w", wanted, err)
	}
	return built.AsYaml()
}
