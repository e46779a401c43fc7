package check_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"threescale.dev/backup/fn/check"
	"threescale.dev/backup/manifests"
)

// errForbidden is as observe wraps what an API server says.
var errForbidden = fmt.Errorf("cannot read: %w", apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "a", errors.New("it is forbidden")))

// finding is what a case expects of one check.
type finding struct {
	area, check string
	state       check.State
	message, do string   // parts of them
	missing     []string // all of it
}

// findingCase changes one thing in an installation that lacks nothing.
type findingCase struct {
	reason string
	change func(*testing.T, *check.Observed)
	want   finding
}

// run proves that the finding is there, and that nothing else but the checks
// named in beside is worse than OK.
func (c findingCase) run(t *testing.T) {
	t.Helper()
	o := installed(t)
	c.change(t, &o)
	findings := check.Findings(o)
	var found *check.Finding
	for i, f := range findings {
		if f.Area == c.want.area && f.Check == c.want.check && f.State == c.want.state {
			found = &findings[i]
			continue
		}
		assert.Equal(t, check.OK, f.State, "%s %s: %s", f.Area, f.Check, f.Message)
	}
	require.NotNil(t, found, "%s: %+v", c.reason, findings)
	assert.Contains(t, found.Message, c.want.message, c.reason)
	assert.Contains(t, found.Do, c.want.do, c.reason)
	assert.Equal(t, c.want.missing, found.Missing)
	if found.State != check.OK {
		assert.NotEmpty(t, found.Do, "what is wrong can be mended")
	}
}

// TestInstalled: an installation that lacks nothing passes each check once.
func TestInstalled(t *testing.T) {
	var checks []string
	for _, f := range check.Findings(installed(t)) {
		assert.Equal(t, check.OK, f.State, "%s %s: %s", f.Area, f.Check, f.Message)
		assert.Empty(t, f.Do)
		checks = append(checks, f.Area+" "+f.Check)
	}
	assert.Equal(t, []string{
		"Kubernetes version", "Crossplane version", "Crossplane rights", "Backups XRD", "Backups fields", "Backups Composition", "Backups Function",
		"3scale APIManager", "Flux GitRepository", "Flux Kustomization",
		"Restores ThreeScaleRestore", "Restores fields", "Restores controller", "Restores images", "Restores rights",
	}, checks)
	assert.Equal(t, len(checks), check.Count(check.Findings(installed(t)), check.OK))
}

func TestKubernetes(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, version string
		want            check.State
	}{
		"Oldest":  {reason: "the first with both", version: "v1.29.0", want: check.OK},
		"TooOld":  {reason: "one minor before", version: "v1.28.15", want: check.Failed},
		"Ancient": {reason: "numbers are no text: 1.9 is before 1.29", version: "v1.9.11", want: check.Failed},
		"Vendor":  {reason: "vendors add a suffix", version: "v1.31.4+k3s1", want: check.OK},
		"EKS":     {reason: "or one with a dash", version: "v1.30.8-eks-2d5f260", want: check.OK},
		"Newer":   {reason: "newer than tested is no reason to stop", version: "v1.40.0", want: check.OK},
		"None":    {reason: "what nobody can read stops nothing", version: "unknown", want: check.NotChecked},
	} {
		t.Run(name, func(t *testing.T) {
			found := check.Kubernetes(tc.version)
			assert.Equal(t, tc.want, found.State, tc.reason)
			assert.Contains(t, found.Message, tc.version)
		})
	}
}

// TestUnread: another account helps only against what an account may not do.
func TestUnread(t *testing.T) {
	const other, later = "check again with an account that may read it", "check again in a moment"
	for name, tc := range map[string]struct {
		reason string
		err    error
		want   string
	}{
		"Forbidden":    {reason: "a right is missing", err: errForbidden, want: other},
		"Unauthorized": {reason: "nobody is logged in", err: fmt.Errorf("cannot read: %w", apierrors.NewUnauthorized("no token")), want: other},
		"NotPublished": {reason: "OpenAPI comes some seconds after the CRD", err: errors.New("it is not published yet"), want: later},
		"Timeout":      {reason: "an API server that is busy", err: fmt.Errorf("cannot read: %w", apierrors.NewTimeoutError("busy", 1)), want: later},
	} {
		t.Run(name, func(t *testing.T) {
			findingCase{
				reason: tc.reason,
				change: func(_ *testing.T, o *check.Observed) { o.RestoreSchema = check.Read[map[string]any]{Err: tc.err} },
				want:   finding{"Restores", "fields", check.NotChecked, tc.err.Error(), tc.want, nil},
			}.run(t)
		})
	}
	assert.Equal(t, later, check.Kubernetes("unknown").Do, "a version that nobody can read")
}

func TestCrossplane(t *testing.T) {
	for name, tc := range map[string]findingCase{
		"Label": {reason: "the chart's label has the version", change: func(*testing.T, *check.Observed) {}, want: finding{"Crossplane", "version", check.OK, "Crossplane 2.4.0 ", "", nil}},
		"Tag": {
			reason: "without the label, the image's tag",
			change: func(t *testing.T, o *check.Observed) {
				o.Crossplane.Deployment.Value = object(t, []byte(`{spec: {template: {spec: {containers: [{image: "xpkg.crossplane.io/crossplane/crossplane:v2.3.1"}]}}}}`))
			},
			want: finding{"Crossplane", "version", check.OK, "Crossplane v2.3.1 ", "", nil},
		},
		"Unreadable": {
			reason: "that 2 is there shows in its API, whoever may read the Deployment",
			change: func(_ *testing.T, o *check.Observed) {
				o.Crossplane.Deployment = check.Read[*unstructured.Unstructured]{Err: errForbidden}
			},
			want: finding{"Crossplane", "version", check.OK, "Crossplane 2 ", "", nil},
		},
		"TooOld": {
			reason: "1.20 serves v1 only",
			change: func(t *testing.T, o *check.Observed) {
				o.Served[kind(t, "CompositeResourceDefinition", "v2")] = check.Read[bool]{}
				o.Crossplane.Deployment.Value.SetLabels(map[string]string{"app.kubernetes.io/version": "1.20.0"})
			},
			want: finding{"Crossplane", "version", check.Failed, "Crossplane 1.20.0 is too old", "upgrade Crossplane to 2.0", nil},
		},
		"None": {
			reason: "without Crossplane, nothing else of it is worth a line",
			change: func(t *testing.T, o *check.Observed) {
				o.Served[kind(t, "CompositeResourceDefinition", "v1")] = check.Read[bool]{}
				o.Served[kind(t, "CompositeResourceDefinition", "v2")] = check.Read[bool]{}
				o.XRDs.Value = nil
			},
			want: finding{"Crossplane", "version", check.Failed, "Crossplane is not installed", "install Crossplane 2.0 or later", nil},
		},
		"NotDiscovered": {
			reason: "an API server that does not answer tells nothing",
			change: func(t *testing.T, o *check.Observed) {
				o.Served[kind(t, "CompositeResourceDefinition", "v2")] = check.Read[bool]{Err: errForbidden}
			},
			want: finding{"Crossplane", "version", check.NotChecked, "could not be checked: cannot read: things \"a\" is forbidden: it is forbidden", "", nil},
		},
		"Rights": {
			reason: "each right is named",
			change: func(_ *testing.T, o *check.Observed) {
				o.Crossplane.Missing.Value = []check.Right{{"create", "batch", "jobs", "", ""}, {"patch", "batch", "jobs", "", ""}, {"create", "", "secrets", "", ""}, {"patch", "", "secrets", "", ""}, {"get", "", "pods", "log", ""}}
			},
			want: finding{
				"Crossplane", "rights", check.Failed, "ServiceAccount crossplane-system/crossplane may not: create, patch on jobs.batch, secrets; get on pods/log", "kubectl apply -k manifests/rbac",
				[]string{"create jobs.batch", "patch jobs.batch", "create secrets", "patch secrets", "get pods/log"},
			},
		},
		"RightsNotChecked": {
			reason: "few may ask for others' rights",
			change: func(_ *testing.T, o *check.Observed) {
				o.Crossplane.Missing = check.Read[[]check.Right]{Err: errForbidden}
			},
			want: finding{"Crossplane", "rights", check.NotChecked, "it is forbidden", "", nil},
		},
		"NoAccount": {
			reason: "an account that is not there has no rights, which is not what is wrong",
			change: func(_ *testing.T, o *check.Observed) { o.Crossplane.Exists.Value = false },
			want:   finding{"Crossplane", "rights", check.Failed, "there is no ServiceAccount crossplane-system/crossplane", "--crossplane-service-account", nil},
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestXRD(t *testing.T) {
	both := func(claim, namespaced func(*testing.T) *unstructured.Unstructured, owner string) func(*testing.T, *check.Observed) {
		return func(t *testing.T, o *check.Observed) {
			o.XRDs.Value = map[string]*unstructured.Unstructured{claimXRD: claim(t), namespacedXRD: namespaced(t)}
			if owner == "" {
				o.BackupCRD.Err = errForbidden
				return
			}
			o.BackupCRD.Value = &unstructured.Unstructured{}
			o.BackupCRD.Value.SetOwnerReferences([]metav1.OwnerReference{{Kind: "CompositeResourceDefinition", Name: owner, Controller: new(true)}})
			if owner == namespacedXRD {
				composition := o.Compositions.Value["threescalebackup-claim"]
				require.NoError(t, unstructured.SetNestedField(composition.Object, "ThreeScaleBackup", "spec", "compositeTypeRef", "kind"))
			}
		}
	}
	fine := func(xrd []byte) func(*testing.T) *unstructured.Unstructured {
		return func(t *testing.T) *unstructured.Unstructured { return established(t, xrd) }
	}
	not := func(xrd []byte, conditions ...string) func(*testing.T) *unstructured.Unstructured {
		return func(t *testing.T) *unstructured.Unstructured { return with(t, object(t, xrd), conditions...) }
	}
	for name, tc := range map[string]findingCase{
		"ClaimFirst": {
			reason: "the claim's CRD is the namespaced composite's: who came first has it",
			change: both(fine(manifests.ClaimXRD()), not(manifests.NamespacedXRD()), claimXRD),
			want:   finding{"Backups", "XRD", check.Failed, "so Crossplane refuses XRD " + namespacedXRD, "delete the Configuration of package configuration-threescale-backup-namespaced (kubectl get configuration.pkg.crossplane.io lists them); only without packages: kubectl delete xrd " + namespacedXRD + ", and the Composition of manifests/namespaced", nil},
		},
		"NamespacedFirst": {
			reason: "the other way round",
			change: both(not(manifests.ClaimXRD(), `{type: Established, status: "True"}`), fine(manifests.NamespacedXRD()), namespacedXRD),
			want:   finding{"Backups", "XRD", check.Failed, "so Crossplane refuses XRD " + claimXRD, "delete the Configuration of package configuration-threescale-backup (kubectl get configuration.pkg.crossplane.io lists them); only without packages: kubectl delete xrd " + claimXRD + ", and the Composition of manifests/claim", nil},
		},
		"OwnerUnreadable": {
			reason: "the conditions tell, too",
			change: both(fine(manifests.ClaimXRD()), not(manifests.NamespacedXRD()), ""),
			want:   finding{"Backups", "XRD", check.Failed, "so Crossplane refuses XRD " + namespacedXRD, "", nil},
		},
		"NobodyTells": {
			reason: "an XRD is not deleted on a guess",
			change: both(not(manifests.ClaimXRD()), not(manifests.NamespacedXRD()), ""),
			want:   finding{"Backups", "XRD", check.Failed, "both flavours are installed", "kubectl describe xrd " + claimXRD + " " + namespacedXRD + " tells which is refused; delete the Configuration of its package (kubectl get configuration.pkg.crossplane.io lists them); only without packages: that XRD", nil},
		},
		"None": {
			reason: "the default flavour is named first, and the package, which manifests/README.md installs, before the folder",
			change: func(_ *testing.T, o *check.Observed) { o.XRDs.Value = nil },
			want: finding{
				"Backups", "XRD", check.Failed, "no XRD of ThreeScaleBackup is installed",
				"install, or upgrade, the package configuration-threescale-backup (manifests/README.md, Install and Upgrade); only without packages: kubectl apply --server-side -k manifests/claim, with your image and the name of your Function in the Composition; " +
					"for Crossplane 2 without claims, configuration-threescale-backup-namespaced and manifests/namespaced instead", nil,
			},
		},
		"NotOffered": {
			reason: "claims exist only when it is offered, and Crossplane says why not",
			change: func(t *testing.T, o *check.Observed) {
				o.XRDs.Value[claimXRD] = with(t, object(t, manifests.ClaimXRD()), `{type: Established, status: "True"}`, `{type: Offered, status: "False", message: no CRD}`)
			},
			want: finding{"Backups", "XRD", check.Failed, "condition Offered is False: no CRD", "kubectl describe xrd " + claimXRD, nil},
		},
		"NotRead": {
			reason: "what cannot be read is not missing",
			change: func(_ *testing.T, o *check.Observed) {
				o.XRDs = check.Read[map[string]*unstructured.Unstructured]{Err: errForbidden}
			},
			want: finding{"Backups", "XRD", check.NotChecked, "it is forbidden", "", nil},
		},
		"Older": {
			reason: "fields that it drops would be ignored without a word",
			change: func(t *testing.T, o *check.Observed) {
				schema := properties(t, o.XRDs.Value[claimXRD])
				remove(t, schema, "properties", "spec", "properties", "retention")
				remove(t, schema, "properties", "spec", "properties", "job", "properties", "tolerations", "items", "properties", "key")
				remove(t, schema, "properties", "status", "properties", "lastRun", "properties", "removed")
			},
			want: finding{
				"Backups", "fields", check.Failed, "older than this program and lacks: spec.job.tolerations[].key, spec.retention, status.lastRun.removed", "upgrade, the package configuration-threescale-backup (",
				[]string{"spec.job.tolerations[].key", "spec.retention", "status.lastRun.removed"},
			},
		},
		"OlderNamespaced": {
			reason: "the package is that of the flavour that is installed",
			change: func(t *testing.T, o *check.Observed) {
				o.XRDs.Value = map[string]*unstructured.Unstructured{namespacedXRD: established(t, manifests.NamespacedXRD())}
				remove(t, properties(t, o.XRDs.Value[namespacedXRD]), "properties", "spec", "properties", "retention")
				require.NoError(t, unstructured.SetNestedField(o.Compositions.Value["threescalebackup-claim"].Object, "ThreeScaleBackup", "spec", "compositeTypeRef", "kind"))
			},
			want: finding{
				"Backups", "fields", check.Failed, "and lacks: spec.retention", "upgrade, the package configuration-threescale-backup-namespaced (manifests/README.md, Install and Upgrade); only without packages: kubectl apply --server-side -k manifests/namespaced,",
				[]string{"spec.retention"},
			},
		},
		"Newer": {
			reason: "a newer one still does all that this program knows",
			change: func(t *testing.T, o *check.Observed) {
				require.NoError(t, unstructured.SetNestedField(properties(t, o.XRDs.Value[claimXRD]), map[string]any{"type": "string"}, "properties", "spec", "properties", "tomorrow"))
			},
			want: finding{"Backups", "fields", check.Warning, "which does not know: spec.tomorrow", "of the version that is installed", nil},
		},
	} {
		t.Run(name, tc.run)
	}
}
