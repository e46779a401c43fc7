package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	"github.com/package-url/packageurl-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readSBOM decodes an SBOM, each of whose components has to have a package URL
// and a reference of its own.
func readSBOM(t *testing.T, data []byte) *cyclonedx.BOM {
	t.Helper()
	var out cyclonedx.BOM
	require.NoError(t, cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(&out))
	require.Equal(t, "CycloneDX", out.BOMFormat)
	require.Equal(t, cyclonedx.SpecVersion1_5, out.SpecVersion)
	require.NotNil(t, out.Components)
	seen := map[string]bool{out.Metadata.Component.BOMRef: true}
	for _, component := range *out.Components {
		url, err := packageurl.FromString(component.PackageURL)
		require.NoError(t, err, component.Name)
		assert.Equal(t, packageurl.TypeGolang, url.Type)
		assert.Equal(t, component.Version, url.Version)
		assert.NotEmpty(t, component.Version, component.Name)
		assert.False(t, seen[component.BOMRef], component.BOMRef)
		seen[component.BOMRef] = true
	}
	return &out
}

// versions are those of the components with a name.
func versions(bom *cyclonedx.BOM) map[string][]string {
	out := map[string][]string{}
	for _, component := range *bom.Components {
		out[component.Name] = append(out[component.Name], component.Version)
	}
	return out
}

func TestSBOM(t *testing.T) {
	r := newTestRelease(t)
	for _, c := range []struct {
		reason string
		program
		want map[string][]string
	}{
		{"both programs of the image, and what they share once", functionProgram(), map[string][]string{
			"github.com/crossplane/function-sdk-go": {"v0.7.1"}, "stdlib": {"1.26.8"},
			"example.org/function": {"v1.2.3"}, "example.org/mover": {"v1.2.3"},
		}},
		{"one program", controllerProgram(), map[string][]string{
			"github.com/crossplane/function-sdk-go": {"v0.7.1"}, "stdlib": {"1.26.8"},
			"example.org/controller": {"v1.2.3"},
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			data, err := r.sbom(c.program, "arm64")
			require.NoError(t, err)
			bom := readSBOM(t, data)
			assert.Equal(t, c.want, versions(bom))
			assert.Equal(t, r.repository(c.image), bom.Metadata.Component.Name)
			assert.Equal(t, "v0.1.0", bom.Metadata.Component.Version)
			assert.Equal(t, &[]cyclonedx.Property{{Name: "architecture", Value: "arm64"}}, bom.Metadata.Component.Properties)
			again, err := r.sbom(c.program, "arm64")
			require.NoError(t, err)
			assert.Equal(t, string(data), string(again))
		})
	}
}

// TestPackageURL is about what a scanner compares with its lists of
// vulnerabilities: a URL written in another way finds none.
func TestPackageURL(t *testing.T) {
	for _, c := range []struct {
		reason    string
		goVersion string
		module    *debug.Module
		want      []string
	}{
		{"each element of the path stands for itself", "go1.26.8", module("github.com/google/go-containerregistry", "v0.22.1"), []string{"pkg:golang/github.com/google/go-containerregistry@v0.22.1", "pkg:golang/stdlib@1.26.8"}},
		{"in lower case, says the specification", "go1.26.8", module("github.com/CycloneDX/cyclonedx-go", "v0.11.0"), []string{"pkg:golang/github.com/cyclonedx/cyclonedx-go@v0.11.0", "pkg:golang/stdlib@1.26.8"}},
		{"a major version", "go1.26.8", module("github.com/Masterminds/semver/v3", "v3.5.0"), []string{"pkg:golang/github.com/masterminds/semver/v3@v3.5.0", "pkg:golang/stdlib@1.26.8"}},
		{"a plus is written otherwise", "go1.26.8", module("example.org/a", "v2.0.0+incompatible"), []string{"pkg:golang/example.org/a@v2.0.0%2Bincompatible", "pkg:golang/stdlib@1.26.8"}},
		{
			"what is linked is the replacement", "go1.26.8",
			&debug.Module{Path: "example.org/a", Version: "v1.0.0", Replace: module("example.org/fork", "v1.0.1")},
			[]string{"pkg:golang/example.org/fork@v1.0.1", "pkg:golang/stdlib@1.26.8"},
		},
		{"a toolchain with experiments", "go1.26.8 X:nodwarf5", module("example.org/a", "v1.0.0"), []string{"pkg:golang/example.org/a@v1.0.0", "pkg:golang/stdlib@1.26.8"}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newTestRelease(t)
			writeBinary(t, r.output, "amd64", "controller", c.goVersion, c.module)
			data, err := r.sbom(controllerProgram(), "amd64")
			require.NoError(t, err)
			var got []string
			for _, component := range *readSBOM(t, data).Components {
				got = append(got, component.PackageURL)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestSBOMOfNoProgram(t *testing.T) {
	r := newTestRelease(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.output, "bin", "linux-amd64", "mover"), []byte("#!/bin/sh\nexit 0 # not made by Go\n"), 0o755))
	_, err := r.sbom(functionProgram(), "amd64")
	require.ErrorContains(t, err, `cannot read modules of binary "mover"`)
}
