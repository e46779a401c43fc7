package manifests_test

import (
	"fmt"
	"go/ast"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// kindsCalledAsFields are kinds of others, and words of a status, by whose names
// our Go types have fields. A description may speak of them.
var kindsCalledAsFields = map[string]bool{
	"APIManager": true, "PersistentVolume": true, "PersistentVolumeClaim": true, "StorageClass": true,
	"FileStorage": true, // a phase
}

var (
	markers  = regexp.MustCompile(`(^|\s)\+[a-z]|kubebuilder|omitempty|omitzero|json:|TODO|FIXME|//`)
	humps    = regexp.MustCompile(`[a-z0-9][A-Z]|[A-Z]{2}[a-z]`)
	anyWord  = regexp.MustCompile(`[A-Za-z0-9]+`)
	asInGo   = `^%s (are|were|[a-z]+s) ` // a comment's subject, and its verb
	minWords = 3
)

// goNames are the names of our API's Go code that nobody takes for a word, and
// that are no kind, reason, condition or value of a field.
func goNames(t *testing.T) map[string]bool {
	t.Helper()
	names, values := map[string]bool{}, map[string]bool{}
	for _, file := range sources(t, "api/v1alpha1") {
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.Ident:
				if node.IsExported() && humps.MatchString(node.Name) {
					names[node.Name] = true
				}
			case *ast.BasicLit:
				values[strings.Trim(node.Value, `"`)] = true
			}
			return true
		})
	}
	for name := range names {
		if values[name] || kindsCalledAsFields[name] {
			delete(names, name)
		}
	}
	return names
}

// describer looks at the descriptions of schemas.
type describer struct{ goNames map[string]bool }

// complain tells what is wrong with the description of the field that is called
// name in Go; "" if nothing is.
func (d describer) complain(name, description string) string {
	words := anyWord.FindAllString(description, -1)
	switch {
	case description == "":
		return "has no description"
	case markers.MatchString(description):
		return "shows what is for controller-gen"
	case regexp.MustCompile(fmt.Sprintf(asInGo, name)).MatchString(description):
		return "begins as a Go comment"
	case len(words) < minWords:
		return "says no more than its name"
	case !regexp.MustCompile(`(?s)^[A-Z].*\.$`).MatchString(description):
		return "is no sentence"
	}
	for _, word := range words {
		if d.goNames[word] {
			return "speaks of " + word + ", which only Go code knows"
		}
	}
	return ""
}

// walk looks at all fields of a struct of our API. What is in a field whose type
// is of another module (Kubernetes, Flux) is described there; the field itself
// is ours.
func (d describer) walk(t *testing.T, where string, goType reflect.Type, schema any) int {
	t.Helper()
	properties, seen := schemaProperties(t, schema), 0
	for field := range goType.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		ours := inner.Kind() == reflect.Struct && inner.PkgPath() == goType.PkgPath() && inner.NumField() > 0
		if strings.Contains(options, "inline") || field.Anonymous {
			if ours {
				seen += d.walk(t, where, inner, schema)
			}
			continue
		}
		property, ok := properties[name].(map[string]any)
		if !ok { // the conditions of a composite are Crossplane's; TestSchemaFollowsTypes finds others
			continue
		}
		at := where + "." + name
		description, _ := property["description"].(string)
		assert.Empty(t, d.complain(field.Name, description), "%s: %q", at, description)
		seen++
		if items, isList := property["items"].(map[string]any); isList && ours {
			assert.NotContains(t, items, "description", "%s: `kubectl explain` would print it behind that of the list", at)
			property = items
		}
		if ours {
			seen += d.walk(t, at, inner, property)
		}
	}
	return seen
}

// TestDescriptions: `kubectl explain` is read by people who have never seen our
// Go code.
func TestDescriptions(t *testing.T) {
	d := describer{goNames(t)}
	crd := at(t, object(t, "manifests", "crd", "restore.yaml"), "spec", "versions", "schema", "openAPIV3Schema")
	input := at(t, object(t, "package", "input", "input.yaml"), "spec", "versions", "schema", "openAPIV3Schema")
	for name, tc := range map[string]struct {
		schema any
		goType reflect.Type
		fields int
	}{
		"claim":      {schemaOf(t, "claim"), reflect.TypeFor[v1alpha1.ThreeScaleBackup](), 110},
		"namespaced": {schemaOf(t, "namespaced"), reflect.TypeFor[v1alpha1.ThreeScaleBackup](), 110},
		"restore":    {crd, reflect.TypeFor[v1alpha1.ThreeScaleRestore](), 100},
		"input":      {input, reflect.TypeFor[v1alpha1.Input](), 1},
	} {
		t.Run(name, func(t *testing.T) {
			root, _ := at(t, tc.schema, "description").(string)
			assert.Empty(t, d.complain("", root))
			assert.GreaterOrEqual(t, d.walk(t, name, tc.goType, tc.schema), tc.fields, "it has looked at all of them")
		})
	}
}

func TestComplain(t *testing.T) {
	d := describer{goNames(t)}
	require.Greater(t, len(d.goNames), 200)
	for name, tc := range map[string]struct {
		reason, field, description, want string
	}{
		"Plain":      {"as it should be", "Suspend", "Stops new scheduled runs; false by default.", ""},
		"Kinds":      {"users know them", "VolumeName", "Name of the PersistentVolume that a ThreeScaleBackup writes to.", ""},
		"Conditions": {"users see them", "Conditions", "PreflightPassed, BackupCompleted and those of Crossplane.", ""},
		"Fields":     {"they are written in YAML", "Plan", "Without claimName, volumeName counts.", ""},
		"Noun":       {"the name may begin a sentence that is none about itself", "Name", "Name of the PersistentVolume.", ""},
		"Empty":      {"nobody would know what it is", "Plan", "", "has no description"},
		"Marker":     {"the comment was written in one with it", "Plan", "What is done. +optional", "shows what is for controller-gen"},
		"Validation": {"likewise", "Plan", "What is done. kubebuilder:validation:Minimum=0", "shows what is for controller-gen"},
		"Subject":    {"a reader of YAML does not know the field by this name", "Suspend", "Suspend stops new scheduled runs.", "begins as a Go comment"},
		"Subjects":   {"likewise", "Runs", "Runs are the newest runs.", "begins as a Go comment"},
		"Name":       {"it tells nothing", "NodeSelector", "Node selector.", "says no more than its name"},
		"Fragment":   {"descriptions are read one behind another", "Plan", "what is done to each", "is no sentence"},
		"GoField":    {"it is lastRun in YAML", "Plan", "Tells more than LastRun does.", "speaks of LastRun, which only Go code knows"},
		"GoType":     {"it is the type of spec", "Plan", "Set in the ThreeScaleBackupSpec by users.", "speaks of ThreeScaleBackupSpec, which only Go code knows"},
		"Constant":   {"its value is Damaged", "Plan", "Is ReasonDamaged while damage is known.", "speaks of ReasonDamaged, which only Go code knows"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, d.complain(tc.field, tc.description), tc.reason)
		})
	}
}
