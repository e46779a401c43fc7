//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// An Image holds static binaries and nothing else, like one that is built FROM
// scratch.
type Image struct {
	// Name with registry and tag, such as docker.io/local/mover:test. No such
	// registry is asked: pods use imagePullPolicy Never or IfNotPresent.
	Name string
	// Binaries are the programs: where each is in the image, and on this
	// machine.
	Binaries map[string]string
	// Entrypoint is the command; its first element is one of Binaries.
	Entrypoint []string
	// User is numeric, UID or UID:GID.
	User string
}

// LoadImage gives the node an image. An image of that name is replaced.
func (c *Cluster) LoadImage(ctx context.Context, i Image) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	return c.loadImage(ctx, i.Name, layer, v1.Config{Entrypoint: i.Entrypoint, User: i.User})
}

// loadImage imports an image of one layer.
func (c *Cluster) loadImage(ctx context.Context, image string, layer []byte, config v1.Config) error {
	file, err := os.CreateTemp(c.dir, "image-*.tar")
	if err != nil {
		return fmt.Errorf("cannot create archive of image %q: %w", image, err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // It goes with the folder at the latest.
	if err := file.Close(); err != nil {
		return fmt.Errorf("cannot create archive of image %q: %w", image, err)
	}
	if err := writeImage(file.Name(), image, layer, config); err != nil {
		return err
	}
	if _, err := c.ctr(ctx, "--namespace", "k8s.io", "images", "import", file.Name()); err != nil {
		return fmt.Errorf("cannot import image %q: %w", image, err)
	}
	return nil
}

// writeImage writes an image as "docker save" does. The layer is not compressed:
// it travels no farther than this disk.
func writeImage(path, reference string, layer []byte, config v1.Config) error {
	tag, err := name.NewTag(reference)
	if err != nil {
		return fmt.Errorf("cannot parse name of image %q: %w", reference, err)
	}
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(layer, types.DockerUncompressedLayer))
	if err != nil {
		return fmt.Errorf("cannot create image %q: %w", reference, err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return fmt.Errorf("cannot create image %q: %w", reference, err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return fmt.Errorf("cannot configure image %q: %w", reference, err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("cannot write archive of image %q: %w", reference, err)
	}
	return nil
}

// layer is a tar stream with the binaries.
func (i Image) layer() ([]byte, error) {
	if len(i.Entrypoint) == 0 || i.Binaries[i.Entrypoint[0]] == "" {
		return nil, fmt.Errorf("cannot create image %q: its entrypoint has to start with one of its binaries", i.Name)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, path := range slices.Sorted(maps.Keys(i.Binaries)) {
		if err := addBinary(w, path, i.Binaries[path]); err != nil {
			return nil, fmt.Errorf("cannot create layer of image %q: %w", i.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot create layer of image %q: %w", i.Name, err)
	}
	return layer.Bytes(), nil
}

func addBinary(w *tar.Writer, path, source string) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	header := &tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// ctr runs containerd's own client.
func (c *Cluster) ctr(ctx context.Context, args ...string) (string, error) {
	return run(ctx, c.binaries["ctr"], append([]string{"--address", c.containerdSocket()}, args...)...)
}
