package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-containerregistry/pkg/name"
)

const (
	// functionName is both the repository of the function's package, below the
	// registry, and how the manifests call it.
	functionName   = "function-threescale-backup"
	controllerName = "threescale-backup-controller"
	// configurationName is followed by a dash and the flavour, save for claims.
	configurationName = "configuration-threescale-backup"
)

// A release is all that one version consists of.
type release struct {
	root, output string
	registry     string // without a slash at its end
	version      *semver.Version
}

// newRelease checks what the user gave: a mistake would only be found when
// somebody installs what was pushed.
func newRelease(root, output, registry, version string) (*release, error) {
	parsed, err := semver.StrictNewVersion(strings.TrimPrefix(version, "v"))
	if err != nil || !strings.HasPrefix(version, "v") || parsed.Metadata() != "" {
		return nil, fmt.Errorf("cannot release version %q: it has to be like v0.1.0 or v0.1.0-rc.1 (Crossplane chooses packages by it)", version)
	}
	if host, _, _ := strings.Cut(registry, "/"); !strings.Contains(host, ".") {
		return nil, fmt.Errorf("cannot release to registry %q: Crossplane installs only from a host with a dot in its name, such as registry.example.com or 127.0.0.1:5000", registry)
	}
	if strings.Contains(registry, "//") {
		return nil, fmt.Errorf("cannot release to registry %q: an element of its path is empty", registry)
	}
	r := &release{root: root, output: output, registry: strings.TrimSuffix(registry, "/"), version: parsed}
	for _, repository := range []string{functionName, controllerName, configurationName} {
		if _, err := r.tag(repository); err != nil {
			return nil, fmt.Errorf("cannot release to registry %q: %w", registry, err)
		}
	}
	// Only the configurations have it, which are pushed last.
	if _, err := r.functionObject(); err != nil {
		return nil, fmt.Errorf("cannot release to registry %q: %w", registry, err)
	}
	return r, nil
}

// tagName is the version as it stands in a tag.
func (r *release) tagName() string { return "v" + r.version.String() }

// repository is the full name of one of the product's repositories.
func (r *release) repository(name string) string { return r.registry + "/" + name }

func (r *release) tag(repository string) (name.Tag, error) {
	return name.NewTag(r.repository(repository)+":"+r.tagName(), name.StrictValidation)
}

// binary is the path of a program that was built for an architecture.
func (r *release) binary(architecture, program string) string {
	return filepath.Join(r.output, "bin", "linux-"+architecture, program)
}

// functionObject is the name that Crossplane gives to a Function which it
// installs as a dependency, and by which the Composition has to refer to it:
// the repository without its host, as a DNS label (ToDNSLabel of
// crossplane-runtime's pkg/xpkg).
func (r *release) functionObject() (string, error) {
	tag, err := r.tag(functionName)
	if err != nil {
		return "", err
	}
	label := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case c == '.', c == '/', c == '-':
			return '-'
		default:
			return -1
		}
	}, tag.RepositoryStr())
	if len(tag.RepositoryStr()) > longestLabel {
		return "", fmt.Errorf("cannot name the Function after %q: Crossplane would cut it after %d characters; choose a shorter registry path", tag.RepositoryStr(), longestLabel)
	}
	return strings.Trim(label, "-"), nil
}

// longestLabel is how long a DNS label may be.
const longestLabel = 63

// dependency is the constraint by which a configuration asks for the function:
// releases of one minor version understand each other's Jobs. Only a candidate
// may get another candidate: a bound with a dash lets them all in.
func (r *release) dependency() string {
	next := r.version.IncMinor()
	if r.version.Prerelease() == "" {
		return fmt.Sprintf(">=%s, <v%s", r.tagName(), next.String())
	}
	return fmt.Sprintf(">=%s, <v%s-0", r.tagName(), next.String())
}
