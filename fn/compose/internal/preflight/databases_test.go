package preflight

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/threescale"
)

// TestImage: a name that no kubelet takes would keep a pod waiting until its deadline.
func TestImage(t *testing.T) {
	t.Parallel()
	digest := "@sha256:" + strings.Repeat("0123456789abcdef", 4)
	for name, tc := range map[string]struct {
		reason, image string
		valid         bool
	}{
		"Short":       {"of Docker's own registry", "postgres", true},
		"Tag":         {"", "postgres:15.8-bookworm", true},
		"Registry":    {"", "registry.example.com/team/postgresql-15:1.2", true},
		"Port":        {"", "registry.example.com:5000/postgres:15", true},
		"Localhost":   {"", "localhost:5000/a/b/c", true},
		"Address":     {"", "10.0.0.7:5000/postgres", true},
		"Digest":      {"", "registry.example.com/postgres" + digest, true},
		"TagDigest":   {"", "registry.example.com/postgres:15" + digest, true},
		"Separators":  {"as the specification has them", "a/b.c/d_e/f__g/h--i:_x", true},
		"Empty":       {"", "", false},
		"Scheme":      {"it is no URL", "https://registry.example.com/postgres", false},
		"Blank":       {"", "postgres 15", false},
		"BlankEnd":    {"", "postgres:15 ", false},
		"LineBreak":   {"", "postgres:15\n", false},
		"Upper":       {"a path has small letters", "registry.example.com/Postgres", false},
		"NoTag":       {"", "postgres:", false},
		"TwoTags":     {"", "postgres:15:1", false},
		"LongTag":     {"128 are allowed", "postgres:" + strings.Repeat("a", 129), false},
		"NoPath":      {"", "registry.example.com:5000/", false},
		"Slashes":     {"", "registry.example.com//postgres", false},
		"ShortDigest": {"", "postgres@sha256:abc", false},
		"Dollar":      {"", "postgres:$(VERSION)", false},
		"Long":        {"512 are allowed", strings.Repeat("a", 513), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := facts.Database{Name: threescale.SystemDatabase, Field: "databases.system", SQL: &v1alpha1.SQLDatabase{Image: tc.image}}
			found := checkImage(&facts.Facts{}, d)
			assert.Equal(t, tc.valid, len(found) == 0, "%s: %v", tc.reason, found)
			for _, f := range found {
				assert.Equal(t, v1alpha1.ReasonInvalidDatabases, f.Reason)
				assert.Contains(t, f.Message, "Spec.databases.system.image: is ")
			}
		})
	}
	assert.Empty(t, checkImage(&facts.Facts{}, facts.Database{Name: threescale.BackendRedis}), "the mover dumps it")
}

// FuzzImage: what is accepted has one shape, whatever it is made of.
func FuzzImage(f *testing.F) {
	for _, text := range []string{"postgres", "registry.example.com:5000/a/b:1@sha256:" + strings.Repeat("0", 64), "a//b", "$(X)", "a\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if image.MatchString(text) {
			assert.NotContains(t, text, "$", "Kubernetes would expand it")
			assert.False(t, strings.ContainsAny(text, " \t\n\x00") || strings.Contains(text, "//"), "%q", text)
		}
	})
}
