package main

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"maps"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/package-url/packageurl-go"
)

// sbomType is the media type of an SBOM, in a file and in a registry.
const sbomType = "application/vnd.cyclonedx+json"

// sbom lists the Go modules in a program's binaries for an architecture, as the
// linker wrote them down, as CycloneDX JSON.
func (r *release) sbom(p program, architecture string) ([]byte, error) {
	modules := map[string]*debug.Module{}
	for _, name := range p.binaries {
		info, err := buildinfo.ReadFile(r.binary(architecture, name))
		if err != nil {
			return nil, fmt.Errorf("cannot read modules of binary %q: %w", name, err)
		}
		modules["stdlib"] = &debug.Module{Path: "stdlib", Version: goVersion(info)}
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			modules[module.Path+"@"+module.Version] = module
		}
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
		BOMRef:      p.image,
		Type:        cyclonedx.ComponentTypeContainer,
		Name:        r.repository(p.image),
		Version:     r.tagName(),
		Description: p.description,
		Licenses:    &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		Properties:  &[]cyclonedx.Property{{Name: "architecture", Value: architecture}},
	}}
	components := make([]cyclonedx.Component, 0, len(modules))
	for _, key := range slices.Sorted(maps.Keys(modules)) {
		url := moduleURL(modules[key])
		components = append(components, cyclonedx.Component{
			BOMRef: url, Type: cyclonedx.ComponentTypeLibrary,
			Name: modules[key].Path, Version: modules[key].Version, PackageURL: url,
		})
	}
	bom.Components = &components
	var out bytes.Buffer
	// A version that scanners have read for years: a later one has nothing for us.
	if err := cyclonedx.NewBOMEncoder(&out, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cyclonedx.SpecVersion1_5); err != nil {
		return nil, fmt.Errorf("cannot write SBOM of %q: %w", p.image, err)
	}
	return out.Bytes(), nil
}

// goVersion is the version of the standard library, as vulnerabilities of it
// are listed: without experiments that the toolchain was built with.
func goVersion(info *debug.BuildInfo) string {
	version, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	return version
}

// moduleURL is the package URL by which scanners know a module: in lower case,
// all but the last element of its path being the namespace.
func moduleURL(module *debug.Module) string {
	namespace, name := path.Split(strings.ToLower(module.Path))
	return packageurl.NewPackageURL(packageurl.TypeGolang, strings.TrimSuffix(namespace, "/"), name, module.Version, nil, "").ToString()
}

// sbomImage is the SBOM as a registry keeps it: a thing that refers to the
// image for its architecture, where scanners look for it.
func sbomImage(data []byte, subject v1.Descriptor) (v1.Image, error) {
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, sbomType)
	image, err := mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(data, sbomType)})
	if err != nil {
		return nil, fmt.Errorf("cannot make image of SBOM: %w", err)
	}
	referring, ok := mutate.Subject(image, subject).(v1.Image)
	if !ok {
		return nil, errors.New("cannot make image of SBOM: it is none")
	}
	return referring, nil
}

// pushSBOMs pushes one for each architecture of a program that was pushed.
func (r *release) pushSBOMs(tag name.Tag, p program, image v1.ImageIndex, options []remote.Option) error {
	manifest, err := image.IndexManifest()
	if err != nil {
		return fmt.Errorf("cannot read index %q: %w", tag, err)
	}
	for _, descriptor := range manifest.Manifests {
		data, err := r.sbom(p, descriptor.Platform.Architecture)
		if err != nil {
			return err
		}
		one, err := sbomImage(data, descriptor)
		if err != nil {
			return err
		}
		digest, err := one.Digest()
		if err != nil {
			return fmt.Errorf("cannot compute digest of SBOM: %w", err)
		}
		if err := remote.Write(tag.Context().Digest(digest.String()), one, options...); err != nil {
			return fmt.Errorf("cannot push SBOM of %q: %w", tag, err)
		}
	}
	return nil
}
