package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// refName is how an OCI layout names an image.
const refName = "org.opencontainers.image.ref.name"

type imageCommand struct{}

// Run writes <output>/images, an OCI layout with both images for all
// architectures, and <output>/sbom.
func (*imageCommand) Run(r *release) error {
	dir := filepath.Join(r.output, "images")
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove folder %q: %w", dir, err)
	}
	images, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("cannot make OCI layout %q: %w", dir, err)
	}
	for _, p := range []program{functionProgram(), controllerProgram()} {
		image, err := index(func(architecture string) (v1.Image, error) { return r.image(p, architecture) })
		if err != nil {
			return err
		}
		tag := p.image + ":" + r.tagName()
		if err := images.AppendIndex(image, layout.WithAnnotations(map[string]string{refName: tag})); err != nil {
			return fmt.Errorf("cannot write image %q: %w", p.image, err)
		}
		if err := r.writeSBOMs(p); err != nil {
			return err
		}
		digest, err := image.Digest()
		if err != nil {
			return fmt.Errorf("cannot compute digest of image %q: %w", p.image, err)
		}
		fmt.Printf("%s %s@%s\n", dir, tag, digest)
	}
	return nil
}

func (r *release) writeSBOMs(p program) error {
	dir := filepath.Join(r.output, "sbom")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make folder %q: %w", dir, err)
	}
	for _, architecture := range architectures() {
		data, err := r.sbom(p, architecture)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.cdx.json", p.image, r.tagName(), architecture))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("cannot write SBOM %q: %w", path, err)
		}
		fmt.Println(path)
	}
	return nil
}

type packageCommand struct{}

// Run writes <output>/packages, where each package is an .xpkg file, as
// `crossplane xpkg` reads and pushes it.
func (*packageCommand) Run(r *release) error {
	dir := filepath.Join(r.output, "packages")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make folder %q: %w", dir, err)
	}
	for _, architecture := range architectures() {
		image, err := r.functionPackage(architecture)
		if err != nil {
			return err
		}
		if err := r.writePackage(filepath.Join(dir, fmt.Sprintf("%s-%s-%s.xpkg", functionName, r.tagName(), architecture)), functionName, image); err != nil {
			return err
		}
	}
	for _, flavour := range flavours() {
		image, err := r.configuration(flavour)
		if err != nil {
			return err
		}
		repository := configurationRepository(flavour)
		if err := r.writePackage(filepath.Join(dir, fmt.Sprintf("%s-%s.xpkg", repository, r.tagName())), repository, image); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) writePackage(path, repository string, image v1.Image) error {
	tag, err := r.tag(repository)
	if err != nil {
		return fmt.Errorf("cannot name package %q: %w", repository, err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("cannot write package %q: %w", path, err)
	}
	fmt.Println(path)
	return nil
}

type pushCommand struct{}

// Run pushes all, as the user's login allows.
func (*pushCommand) Run(ctx context.Context, r *release) error {
	return r.push(remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
}

// push pushes the function's package, the controller's image, their SBOMs beside
// them, and then the configurations, which refer to the function.
func (r *release) push(options ...remote.Option) error {
	if err := r.pushIndex(functionProgram(), r.functionPackage, options); err != nil {
		return err
	}
	controller := controllerProgram()
	err := r.pushIndex(controller, func(architecture string) (v1.Image, error) { return r.image(controller, architecture) }, options)
	if err != nil {
		return err
	}
	for _, flavour := range flavours() {
		image, err := r.configuration(flavour)
		if err != nil {
			return err
		}
		if err := r.pushOne(configurationRepository(flavour), image, options); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) pushOne(repository string, image v1.Image, options []remote.Option) error {
	tag, err := r.tag(repository)
	if err != nil {
		return err
	}
	if err := remote.Write(tag, image, options...); err != nil {
		return fmt.Errorf("cannot push %q: %w", tag, err)
	}
	return pushed(tag, image)
}

func (r *release) pushIndex(p program, image func(string) (v1.Image, error), options []remote.Option) error {
	tag, err := r.tag(p.image)
	if err != nil {
		return err
	}
	all, err := index(image)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(tag, all, options...); err != nil {
		return fmt.Errorf("cannot push %q: %w", tag, err)
	}
	if err := r.pushSBOMs(tag, p, all, options); err != nil {
		return err
	}
	return pushed(tag, all)
}

// pushed tells what was pushed.
func pushed(tag name.Tag, image interface{ Digest() (v1.Hash, error) }) error {
	digest, err := image.Digest()
	if err != nil {
		return fmt.Errorf("cannot compute digest of %q: %w", tag, err)
	}
	fmt.Printf("%s@%s\n", tag, digest)
	return nil
}
