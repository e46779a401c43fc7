package podpolicy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
)

func TestCheckDatabaseImage(t *testing.T) {
	const image = "registry.example.com/postgresql-15:1.2"
	for name, tc := range map[string]struct {
		reason  string
		allowed []string
		refused bool
	}{
		"Any":        {"nothing is restricted", nil, false},
		"Named":      {"one of several", []string{"registry.example.com/mysql:8.0", image}, false},
		"Star":       {"all of a registry", []string{"registry.example.com/*"}, false},
		"Everything": {"a star alone", []string{"*"}, false},
		"Other":      {"another registry", []string{"registry.example.org/*"}, true},
		"Longer":     {"a name that begins alike is another", []string{"registry.example.com/postgresql-15:1"}, true},
		"StarInside": {"a star stands at the end alone", []string{"*/postgresql-15:1.2"}, true},
		"Empty":      {"an empty text is no image", []string{""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := podpolicy.CheckDatabaseImage(v1alpha1.Allow{DatabaseImages: tc.allowed}, image)
			if !tc.refused {
				assert.Empty(t, got, tc.reason)
				return
			}
			assert.Equal(t, `image "registry.example.com/postgresql-15:1.2" is not one that input.allow.databaseImages of the Composition names`, got, tc.reason)
		})
	}
}
