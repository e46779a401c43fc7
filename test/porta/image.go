package porta

import (
	"context"
	"path/filepath"

	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/peers"
)

// SystemImage is the name of the image that stands for System's.
const SystemImage = "docker.io/local/amp-system:test"

// LoadImage builds the program of package rails, and gives the node an image of it.
// As in porta's own (openshift/system/Dockerfile), arguments without a command go
// to the entrypoint, and the user is not root.
func LoadImage(ctx context.Context, c *cluster.Cluster) error {
	const entrypoint = "/opt/system/entrypoint.sh"
	binary := filepath.Join(c.Dir(), "rails")
	if err := peers.Build(ctx, "./test/porta/rails", binary); err != nil {
		return err
	}
	return c.LoadImage(ctx, cluster.Image{
		Name:       SystemImage,
		Binaries:   map[string]string{entrypoint: binary, "/usr/bin/bash": binary},
		Entrypoint: []string{entrypoint},
		User:       "1001",
	})
}
