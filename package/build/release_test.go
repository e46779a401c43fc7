package main

import (
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewRelease(t *testing.T) {
	longest := strings.Repeat("a", longestLabel-len("/"+functionName))
	for _, c := range []struct {
		reason, registry, version string
		want                      string
	}{
		{"a port and a path", "127.0.0.1:5000/backup", "v0.1.0", ""},
		{"a host only", "registry.example.org", "v0.1.0", ""},
		{"the host of a registry that the library calls index.docker.io", "docker.io/somebody", "v0.1.0", ""},
		{"a slash at the end means nothing", "registry.example.org/a/b/", "v0.1.0", ""},
		{"a candidate", "registry.example.org/a", "v0.1.0-rc.1", ""},

		{"Crossplane's packages have a v", "registry.example.org/a", "0.1.0", `cannot release version "0.1.0"`},
		{"one v", "registry.example.org/a", "vv0.1.0", `cannot release version "vv0.1.0"`},
		{"three numbers", "registry.example.org/a", "v0.1", `cannot release version "v0.1"`},
		{"a moving tag is no version", "registry.example.org/a", "latest", `cannot release version "latest"`},
		{"no version", "registry.example.org/a", "", `cannot release version ""`},
		{"a tag cannot hold a plus", "registry.example.org/a", "v0.1.0+abc", `cannot release version "v0.1.0+abc"`},

		{"no registry", "", "v0.1.0", `cannot release to registry ""`},
		{"Crossplane would take it for a path at its default registry", "backup", "v0.1.0", "a host with a dot"},
		{"likewise, with a path that has a dot", "localhost:5000/a.b", "v0.1.0", "a host with a dot"},
		{"a URL", "https://registry.example.org/a", "v0.1.0", "a host with a dot"},
		{"a path in upper case", "registry.example.org/Backup", "v0.1.0", `cannot release to registry "registry.example.org/Backup"`},
		{"an empty element of the path", "registry.example.org//a", "v0.1.0", `cannot release to registry "registry.example.org//a"`},
		{"two slashes at the end", "registry.example.org/a//", "v0.1.0", `cannot release to registry "registry.example.org/a//"`},
		{"a tag", "registry.example.org/a:v1", "v0.1.0", `cannot release to registry "registry.example.org/a:v1"`},
		{"a space", "registry.example.org/a b", "v0.1.0", `cannot release to registry "registry.example.org/a b"`},
		{"the function's name is as long as Crossplane lets it be", "registry.example.org/" + longest, "v0.1.0", ""},
		{"a longer one is told before anything is pushed", "registry.example.org/a" + longest, "v0.1.0", "choose a shorter registry path"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r, err := newRelease(".", "build", c.registry, c.version)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.version, r.tagName())
			assert.Equal(t, strings.TrimSuffix(c.registry, "/")+"/x", r.repository("x"))
		})
	}
}

func TestDependency(t *testing.T) {
	for _, c := range []struct {
		reason, version, function string
		want                      bool
	}{
		{"the version itself", "v0.1.0", "v0.1.0", true},
		{"a later patch", "v0.1.0", "v0.1.9", true},
		{"the next minor version", "v0.1.0", "v0.2.0", false},
		{"nor a candidate of it", "v0.1.0", "v0.2.0-rc.1", false},
		{"an earlier version", "v0.1.0", "v0.0.9", false},
		{"an earlier patch", "v0.1.2", "v0.1.1", false},
		{"its own candidate, which came before", "v0.1.0", "v0.1.0-rc.1", false},
		{"a candidate, by which no release is replaced unasked", "v0.1.0", "v0.1.1-rc.1", false},
		{"the next major version", "v1.4.0", "v2.0.0", false},

		{"a candidate itself", "v0.1.0-rc.1", "v0.1.0-rc.1", true},
		{"a later candidate", "v0.1.0-rc.1", "v0.1.0-rc.2", true},
		{"the release that came of it", "v0.1.0-rc.1", "v0.1.0", true},
		{"an earlier candidate", "v0.1.0-rc.2", "v0.1.0-rc.1", false},
		{"a candidate of the next minor version", "v0.1.0-rc.1", "v0.2.0-rc.1", false},
		{"the next minor version after a candidate", "v0.1.0-rc.1", "v0.2.0", false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r, err := newRelease(".", "build", aRegistry, c.version)
			require.NoError(t, err)
			constraint, err := semver.NewConstraint(r.dependency())
			require.NoError(t, err)
			assert.Equal(t, c.want, constraint.Check(semver.MustParse(c.function)), "%s: %s", r.dependency(), c.function)
		})
	}
}

func TestFunctionObject(t *testing.T) {
	longest := strings.Repeat("a", longestLabel-len("/"+functionName))
	for _, c := range []struct {
		reason, registry string
		want             string
	}{
		{"neither host nor port", "127.0.0.1:5000/backup", "backup-function-threescale-backup"},
		{"no path", "registry.example.org", "function-threescale-backup"},
		{"nested paths", "registry.example.org/a/b/c", "a-b-c-function-threescale-backup"},
		{"dots", "registry.example.org/a.b/c", "a-b-c-function-threescale-backup"},
		{"an underscore is left out", "registry.example.org/a_b", "ab-function-threescale-backup"},
		{"dashes stay", "registry.example.org/a--b", "a--b-function-threescale-backup"},
		{"digits stay", "registry.example.org/9a", "9a-function-threescale-backup"},
		{"as long as a label may be", "registry.example.org/" + longest, longest + "-" + functionName},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r, err := newRelease(".", "build", c.registry, "v0.1.0")
			require.NoError(t, err)
			got, err := r.functionObject()
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
			tag, err := r.tag(functionName)
			require.NoError(t, err)
			assert.Equal(t, toDNSLabel(tag.RepositoryStr()), got, "Crossplane's own rule")
		})
	}
}

// toDNSLabel is a copy of the function of the same name in crossplane-runtime's
// pkg/xpkg (v2.4.0, Apache-2.0).
func toDNSLabel(s string) string {
	var cut strings.Builder
	for i := range s {
		b := s[i]
		if ('a' <= b && b <= 'z') || ('0' <= b && b <= '9') {
			cut.WriteByte(b)
		}
		if (b == '.' || b == '/' || b == ':' || b == '-') && (i != 0 && i != 62 && i != len(s)-1) {
			cut.WriteByte('-')
		}
		if i == 62 {
			break
		}
	}
	return strings.Trim(cut.String(), "-")
}
