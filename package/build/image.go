package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A program is what an image runs, FROM scratch: the Dockerfile says the same
// to those who build with an engine.
type program struct {
	// image is the name of its repository.
	image, description string
	// binaries are at the root of the image; the first is the entrypoint.
	binaries []string
	// port it listens on, if others are to know.
	port string
}

// architectures are those that an image is made for.
func architectures() []string { return []string{"amd64", "arm64"} }

func functionProgram() program {
	return program{
		image: functionName, binaries: []string{"function", "mover"}, port: "9443/tcp",
		description: "Crossplane composition function that backs up Red Hat 3scale API Management, and the mover that its Jobs run",
	}
}

func controllerProgram() program {
	return program{
		image: controllerName, binaries: []string{"controller"},
		description: "Controller of ThreeScaleRestores",
	}
}

// user is the default of those who run the image without another; the pods that
// the product composes say theirs.
const user = "65532:65532"

// epoch stands for all times: the same source gives the same bytes.
func epoch() time.Time { return time.Unix(0, 0).UTC() }

// image is a program for one architecture.
func (r *release) image(p program, architecture string) (v1.Image, error) {
	data, err := r.layer(p, architecture)
	if err != nil {
		return nil, err
	}
	layer, err := newLayer(data)
	if err != nil {
		return nil, fmt.Errorf("cannot make image %q: %w", p.image, err)
	}
	config := v1.Config{
		Entrypoint: []string{"/" + p.binaries[0]},
		User:       user,
		Labels: map[string]string{
			"org.opencontainers.image.title":       p.image,
			"org.opencontainers.image.description": p.description,
			"org.opencontainers.image.version":     r.tagName(),
			"org.opencontainers.image.licenses":    "Apache-2.0",
		},
	}
	if p.port != "" {
		config.ExposedPorts = map[string]struct{}{p.port: {}}
	}
	return assemble(v1.Platform{OS: "linux", Architecture: architecture}, config, mutate.Addendum{
		Layer: layer, History: v1.History{CreatedBy: "make image", Created: v1.Time{Time: epoch()}},
	})
}

// assemble makes an OCI image of layers.
func assemble(platform v1.Platform, config v1.Config, layers ...mutate.Addendum) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.Append(image, layers...)
	if err != nil {
		return nil, fmt.Errorf("cannot add layers: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration of image: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created, file.Config = platform.OS, platform.Architecture, v1.Time{Time: epoch()}, config
	return mutate.ConfigFile(image, file)
}

// layer is a tar stream with the binaries, owned by root and of no time.
func (r *release) layer(p program, architecture string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(slices.Values(p.binaries)) {
		data, err := os.ReadFile(r.binary(architecture, name))
		if err != nil {
			return nil, fmt.Errorf("cannot read binary %q for %s (make image builds it): %w", name, architecture, err)
		}
		if err := addFile(w, name, 0o755, data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot write layer: %w", err)
	}
	return out.Bytes(), nil
}

func addFile(w *tar.Writer, name string, mode int64, data []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data)), ModTime: epoch()}
	if err := w.WriteHeader(header); err != nil {
		return fmt.Errorf("cannot write file %q into layer: %w", name, err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("cannot write file %q into layer: %w", name, err)
	}
	return nil
}

// newLayer compresses a tar stream.
func newLayer(data []byte) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

// index is an image for all architectures.
func index(image func(architecture string) (v1.Image, error)) (v1.ImageIndex, error) {
	out := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures() {
		one, err := image(architecture)
		if err != nil {
			return nil, err
		}
		out = mutate.AppendManifests(out, mutate.IndexAddendum{
			Add:        one,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	return out, nil
}
