package compose_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

// refusal is something that preflight refuses.
type refusal struct {
	// reason says why it must be refused.
	reason string
	// spec is the claim's, in YAML; a minimal one if empty.
	spec string
	// options and arrange change a complete installation.
	options func(*dataset.Options)
	arrange func(*world)
	// want is the condition's reason; its message holds and lacks these texts.
	want        string
	holds, lack []string
	// fatal tells that nothing at all may change.
	fatal bool
}

// refusals are all of them; each reason of PreflightPassed that refuses has one.
func refusals() map[string]refusal {
	all := map[string]refusal{}
	for _, cases := range []map[string]refusal{scopeRefusals(), specRefusals(), jobRefusals(), sourceRefusals(), secretRefusals(), databaseRefusals(), destinationRefusals(), namedVolumeRefusals()} {
		for name, tc := range cases {
			if _, twice := all[name]; twice {
				panic("two cases are called " + name)
			}
			all[name] = tc
		}
	}
	return all
}

func TestPreflightRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range refusals() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.spec, orNothing(tc.options))
			if tc.arrange != nil {
				tc.arrange(w)
			}
			_, err := w.Reconcile(t.Context())
			if tc.fatal {
				require.Error(t, err, tc.reason)
			} else {
				require.NoError(t, err, tc.reason)
			}
			condition := w.condition(v1alpha1.ConditionPreflightPassed)
			require.NotNil(t, condition, tc.reason)
			assert.NotEqual(t, "True", condition["status"], tc.reason)
			assert.Equal(t, tc.want, condition["reason"], "%s\n%s", tc.reason, condition["message"])
			for _, text := range tc.holds {
				assert.Contains(t, condition["message"], text, tc.reason)
			}
			for _, text := range tc.lack {
				assert.NotContains(t, condition["message"], text, tc.reason)
			}
			completed := w.condition(v1alpha1.ConditionBackupCompleted)
			assert.NotEqual(t, "True", completed["status"])
			if tc.fatal {
				assert.Equal(t, tc.want, completed["reason"], "nothing else is known of it")
			}
			assert.Empty(t, w.Composed(), "nothing is composed before preflight passes")
		})
	}
}

func orNothing(options func(*dataset.Options)) func(*dataset.Options) {
	if options == nil {
		return func(*dataset.Options) {}
	}
	return options
}

// TestPreflightPassesAfterCorrection: what is refused starts once it is put
// right, with nothing else to do.
func TestPreflightPassesAfterCorrection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", func(o *dataset.Options) { o.MissingSecrets = []string{"system-seed"} })
	rsp := w.reconcile()
	assert.Positive(t, rsp.GetMeta().GetTtl().AsDuration(), "without a watch, somebody has to look again")
	assert.Equal(t, notReady, rsp.GetDesired().GetComposite().GetReady().String())
	w.Put(object(t, `{apiVersion: v1, kind: Secret, metadata: {name: system-seed, namespace: 3scale}, type: Opaque, data: {}}`))
	rsp = w.reconcile()
	assert.Equal(t, v1alpha1.ReasonPassed, w.condition(v1alpha1.ConditionPreflightPassed)["reason"])
	assert.Equal(t, ready, rsp.GetDesired().GetComposite().GetReady().String())
	w.backUp()
	assert.Equal(t, true, w.status("completed"))
}

const (
	ready    = "READY_TRUE"
	notReady = "READY_FALSE"
)

// TestPreflightTellsAllTogether: nobody wants to learn of one problem a try.
func TestPreflightTellsAllTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `{
		trigger: "`+strings.Repeat("x", 254)+`",
		schedule: nonsense,
		timeZone: Atlantis/Capital,
		retention: {keepLast: 0},
		encryption: {age: {recipients: [nobody]}},
		backupDestination: {persistentVolumeClaim: {resources: {requests: 10Gi}, volumeName: pv-1}}}`,
		func(o *dataset.Options) {
			o.InternalDatabases = []threescale.Database{"system-database", "system-redis", "backend-redis"}
			o.MissingSecrets = []string{"system-app", "system-seed", "apicast-certificate"}
			o.MissingConfigMaps = []string{"system-environment"}
		})
	w.Delete("PersistentVolumeClaim", namespace, "system-storage")
	w.editNamed("APIManager", "example", set([]any{map[string]any{"name": "../x"}}, "spec", "imagePullSecrets"))
	w.reconcile()
	condition := w.condition(v1alpha1.ConditionPreflightPassed)
	for _, text := range []string{
		"Spec.trigger", "Spec.schedule", "Spec.timeZone", "Spec.retention", "Spec.encryption.age.recipients",
		"system-database is not external", "system-redis is not external", "backend-redis is not external",
		`spec.imagePullSecrets[0] names "../x"`,
		`PersistentVolumeClaim "system-storage" of the file storage was not found`,
		"system-app", "system-seed", "apicast-certificate", "system-environment",
		`PersistentVolume "pv-1" was not found`,
	} {
		assert.Contains(t, condition["message"], text)
	}
	assert.Equal(t, v1alpha1.ReasonInvalidSpec, condition["reason"], "the reason is that of the first")
}

// TestPreflightReasonsHaveCases: every reason that the API documents can occur.
func TestPreflightReasonsHaveCases(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{
		v1alpha1.ReasonPassed:           true, // TestPreflightPassesAfterCorrection
		v1alpha1.ReasonGathering:        true, // TestGathering
		v1alpha1.ReasonCrossplaneTooOld: true, // TestCrossplaneThatHandsNothingOver
	}
	for _, tc := range refusals() {
		seen[tc.want] = true
	}
	requireSameReasons(t, v1alpha1.ConditionPreflightPassed, seen)
}

// requireSameReasons compares reasons with the constants that the API declares
// for a condition.
func requireSameReasons(t *testing.T, condition string, seen map[string]bool) {
	t.Helper()
	declared := reasonsOf(t, condition)
	for value, name := range declared {
		assert.True(t, seen[value], "no case produces %s", name)
	}
	for value := range maps.Keys(seen) {
		assert.Contains(t, declared, value, "not among those of %s", condition)
	}
}

// reasonsOf reads the constants of the blocks of fn/api/v1alpha1/conditions.go
// that are for a condition: their names by value.
func reasonsOf(t *testing.T, condition string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../api/v1alpha1/conditions.go", nil, parser.ParseComments)
	require.NoError(t, err)
	out := map[string]string{}
	for _, declaration := range file.Decls {
		block := declaration.(*ast.GenDecl)
		heading, isReasons := strings.CutPrefix(strings.TrimSpace(block.Doc.Text()), "Reasons of ")
		if !isReasons || !slices.Contains(strings.Split(strings.TrimSuffix(heading, "."), " and "), condition) {
			continue
		}
		for _, spec := range block.Specs {
			constant := spec.(*ast.ValueSpec)
			value, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			out[value] = constant.Names[0].Name
		}
	}
	require.NotEmpty(t, out, "there is no block for %s", condition)
	return out
}
