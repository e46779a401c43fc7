package examples_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/test/examples"
)

// TestPlace: nothing of where an example was is left, and its folders are.
func TestPlace(t *testing.T) {
	namespaces := map[string]string{examples.Namespace: "one", examples.OtherNamespace: "two", examples.FluxNamespace: "flux"}
	for _, name := range examples.Names() {
		t.Run(name, func(t *testing.T) {
			objects := load(t, name)
			examples.Place(objects, namespaces, "http://127.0.0.1/apps.git", "age1other")
			for _, object := range objects {
				if object.GetKind() == "Namespace" {
					assert.Contains(t, []string{"one", "two"}, object.GetName())
				} else {
					assert.Contains(t, []string{"one", "two", "flux"}, object.GetNamespace())
				}
				data, err := object.MarshalJSON()
				require.NoError(t, err)
				assert.NotContains(t, string(data), examples.URL)
				assert.NotContains(t, string(data), examples.Recipient)
				assert.NotContains(t, string(data), `"namespace":"3scale`)
				assert.NotContains(t, string(data), examples.FluxNamespace)
				if writers := object.GetAnnotations()[restore.WritersAnnotation]; writers != "" {
					assert.Regexp(t, `^(one|two)=\./apps/3scale`, writers)
				}
			}
		})
	}
}

// TestPlaceLeavesTheRest: a namespace that is not mapped stays, and so does all
// that is no namespace.
func TestPlaceLeavesTheRest(t *testing.T) {
	before, after := load(t, "other-namespace"), load(t, "other-namespace")
	examples.Place(after, nil, examples.URL, examples.Recipient)
	assert.Equal(t, before, after)
}
