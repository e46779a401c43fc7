package check_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/check"
)

func TestComposition(t *testing.T) {
	input := func(t *testing.T, o *check.Observed) map[string]any {
		t.Helper()
		pipeline, _, err := unstructured.NestedFieldNoCopy(o.Compositions.Value["threescalebackup-claim"].Object, "spec", "pipeline")
		require.NoError(t, err)
		return pipeline.([]any)[1].(map[string]any)["input"].(map[string]any)
	}
	const function = "function-threescale-backup"
	for name, tc := range map[string]findingCase{
		"None": {
			reason: "that of the other flavour does not count",
			change: func(t *testing.T, o *check.Observed) {
				composition := o.Compositions.Value["threescalebackup-claim"].Object
				require.NoError(t, unstructured.SetNestedField(composition, "ThreeScaleBackup", "spec", "compositeTypeRef", "kind"))
			},
			want: finding{"Backups", "Composition", check.Failed, "there is no Composition of kind XThreeScaleBackup", "the package configuration-threescale-backup (manifests/README.md, Install and Upgrade); only without packages: kubectl apply --server-side -k manifests/claim", nil},
		},
		"OtherVersion": {
			reason: "nor does one of another version",
			change: func(t *testing.T, o *check.Observed) {
				composition := o.Compositions.Value["threescalebackup-claim"].Object
				require.NoError(t, unstructured.SetNestedField(composition, "backup.threescale.dev/v9", "spec", "compositeTypeRef", "apiVersion"))
			},
			want: finding{"Backups", "Composition", check.Failed, "there is no Composition", "", nil},
		},
		"NoInput": {
			reason: "another function's input of the same kind is not ours",
			change: func(t *testing.T, o *check.Observed) { input(t, o)["apiVersion"] = "y/v1" },
			want:   finding{"Backups", "Composition", check.Failed, "has no step with an input of kind Input", "", nil},
		},
		"NoImage": {
			reason: "a Job needs one",
			change: func(t *testing.T, o *check.Observed) { delete(input(t, o), "image") },
			want:   finding{"Backups", "Composition", check.Failed, "has no input.image", "only without packages: set input.image to where you host the function's image, by a kustomize patch as in manifests/README.md (Without packages)", nil},
		},
		"Placeholder": {
			reason: "the shipped one is to be replaced",
			change: func(t *testing.T, o *check.Observed) {
				input(t, o)["image"] = "registry.example.com/threescale-backup/function:v0.1.0"
			},
			want: finding{"Backups", "Composition", check.Failed, "the placeholder registry.example.com/", "install the package configuration-threescale-backup, which has it set (manifests/README.md, Install)", nil},
		},
		"Unread": {
			reason: "other checks go on",
			change: func(_ *testing.T, o *check.Observed) {
				o.Compositions = check.Read[map[string]*unstructured.Unstructured]{Err: errForbidden}
			},
			want: finding{"Backups", "Composition", check.NotChecked, "it is forbidden", "", nil},
		},
		"OtherName": {
			reason: "a dependency of a Configuration gets a name of Crossplane's own, which its own Composition knows",
			change: func(_ *testing.T, o *check.Observed) {
				o.Functions.Value = map[string]*unstructured.Unstructured{"org-" + function: o.Functions.Value[function]}
			},
			want: finding{"Backups", "Function", check.Failed, `calls Function "function-threescale-backup", which is not installed (installed: org-function-threescale-backup)`, "install, or upgrade, the package configuration-threescale-backup, which brings it (manifests/README.md, Install and Upgrade); only without packages: install the function as a Function called \"function-threescale-backup\", or change the Composition's functionRef.name", nil},
		},
		"Unhealthy": {
			reason: "Crossplane knows why",
			change: func(t *testing.T, o *check.Observed) {
				with(t, o.Functions.Value[function], `{type: Installed, status: "True"}`, `{type: Healthy, status: "False", reason: UnhealthyPackageRevision, message: cannot pull}`)
			},
			want: finding{"Backups", "Function", check.Failed, "condition Healthy is False: cannot pull", "kubectl describe function.pkg.crossplane.io function-threescale-backup", nil},
		},
		"New": {
			reason: "without conditions it is not there yet",
			change: func(t *testing.T, o *check.Observed) { with(t, o.Functions.Value[function]) },
			want:   finding{"Backups", "Function", check.Failed, "condition Installed is missing; condition Healthy is missing", "", nil},
		},
		"FunctionsUnread": {
			reason: "likewise",
			change: func(_ *testing.T, o *check.Observed) {
				o.Functions = check.Read[map[string]*unstructured.Unstructured]{Err: errForbidden}
			},
			want: finding{"Backups", "Function", check.NotChecked, "it is forbidden", "", nil},
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestKinds(t *testing.T) {
	without := func(name, version string) func(*testing.T, *check.Observed) {
		return func(t *testing.T, o *check.Observed) { o.Served[kind(t, name, version)] = check.Read[bool]{} }
	}
	for name, tc := range map[string]findingCase{
		"APIManager": {
			reason: "Crossplane never calls the function without it",
			change: without("APIManager", "v1alpha1"),
			want:   finding{"3scale", "APIManager", check.Failed, "APIManager (apps.3scale.net/v1alpha1) is not served", "install the operator of 3scale", nil},
		},
		"GitRepository": {
			reason: "a controller that is there does not start without Flux",
			change: without("GitRepository", "v1"),
			want:   finding{"Flux", "GitRepository", check.Failed, "the controller of restores does not start", "install Flux", nil},
		},
		"Unread": {
			reason: "an API server that is not well says nothing of the kind",
			change: func(t *testing.T, o *check.Observed) {
				o.Served[kind(t, "Kustomization", "v1")] = check.Read[bool]{Err: errForbidden}
			},
			want: finding{"Flux", "Kustomization", check.NotChecked, "it is forbidden", "", nil},
		},
		"Restore": {
			reason: "likewise for our own",
			change: without("ThreeScaleRestore", "v1alpha1"),
			want:   finding{"Restores", "ThreeScaleRestore", check.Failed, "the controller does not start without it", "kubectl apply --server-side -k manifests/crd", nil},
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestBackupsOnly: who only backs up is told what restores need, and nothing fails.
func TestBackupsOnly(t *testing.T) {
	o := installed(t)
	o.Controller.Deployment.Value = nil
	o.Controller.Exists.Value = false
	for _, name := range []string{"GitRepository", "Kustomization"} {
		o.Served[kind(t, name, "v1")] = check.Read[bool]{}
	}
	o.Served[kind(t, "ThreeScaleRestore", "v1alpha1")] = check.Read[bool]{}
	var worse []string
	for _, f := range check.Findings(o) {
		if f.State != check.OK {
			worse = append(worse, f.Area+" "+f.Check+" "+string(f.State))
		}
	}
	assert.Equal(t, []string{"Flux GitRepository Warning", "Flux Kustomization Warning", "Restores ThreeScaleRestore Warning", "Restores controller Warning"}, worse)
}

func TestRestores(t *testing.T) {
	deployment := func(text string) func(*testing.T, *check.Observed) {
		return func(t *testing.T, o *check.Observed) {
			o.Controller.Deployment.Value = with(t, object(t, []byte(`{metadata: {namespace: n, name: threescale-backup}, spec: {template: {spec: {containers: [`+text+`]}}}}`)), `{type: Available, status: "True"}`)
		}
	}
	for name, tc := range map[string]findingCase{
		"NotAvailable": {
			reason: "its log tells what this cannot",
			change: func(t *testing.T, o *check.Observed) {
				with(t, o.Controller.Deployment.Value, `{type: Available, status: "False", reason: MinimumReplicasUnavailable}`)
			},
			want: finding{"Restores", "controller", check.Failed, "condition Available is False: MinimumReplicasUnavailable", "kubectl -n threescale-backup logs deployment/threescale-backup", nil},
		},
		"Unread": {
			reason: "what cannot be read is not missing",
			change: func(_ *testing.T, o *check.Observed) {
				o.Controller.Deployment = check.Read[*unstructured.Unstructured]{Err: errForbidden}
			},
			want: finding{"Restores", "controller", check.NotChecked, "it is forbidden", "", nil},
		},
		"Rights": {
			reason: "each right is named",
			change: func(_ *testing.T, o *check.Observed) {
				o.Controller.Missing.Value = []check.Right{{"patch", "backup.threescale.dev", "threescalerestores", "status", ""}}
			},
			want: finding{"Restores", "rights", check.Failed, "may not: patch on threescalerestores.backup.threescale.dev/status", "have Flux apply ./manifests with spec.images as in manifests/README.md (Install)", []string{"patch threescalerestores.backup.threescale.dev/status"}},
		},
		"LeaderElection": {
			reason: "no pod leads without it, and all are available; it is for one namespace only",
			change: func(_ *testing.T, o *check.Observed) {
				const group = "coordination.k8s.io"
				o.Controller.Missing.Value = []check.Right{{"create", "batch", "jobs", "", ""}, {"create", group, "leases", "", "threescale-backup"}}
			},
			want: finding{
				"Restores", "rights", check.Failed, "may not: create on jobs.batch; create on leases.coordination.k8s.io in namespace threescale-backup", "manifests",
				[]string{"create jobs.batch", "create leases.coordination.k8s.io in namespace threescale-backup"},
			},
		},
		"Images": {
			reason: "one was upgraded and the other forgotten",
			change: deployment(`{name: controller, image: "r/c:v0.2.0", env: [{name: MOVER_IMAGE, value: "r/f:v0.1.0"}]}`),
			want:   finding{"Restores", "images", check.Warning, "r/c:v0.2.0 and its MOVER_IMAGE r/f:v0.1.0 are of different versions", "set both to the same version: have Flux apply ./manifests with spec.images as in manifests/README.md (Install)", nil},
		},
		"Flag": {
			reason: "the flag goes before the variable",
			change: deployment(`{name: controller, image: "r/c:v0.2.0", args: ["--mover-image=r/f:v0.2.0"], env: [{name: MOVER_IMAGE, value: "r/f:v0.1.0"}]}`),
			want:   finding{"Restores", "images", check.OK, `same tag "v0.2.0"`, "", nil},
		},
		"FlagInTwo": {
			reason: "a flag and its value may be two arguments",
			change: deployment(`{name: controller, image: "r/c:v0.2.0", args: [--mover-image, "r/f:v0.2.0", --watch], env: [{name: MOVER_IMAGE, value: "r/f:v0.1.0"}]}`),
			want:   finding{"Restores", "images", check.OK, `same tag "v0.2.0"`, "", nil},
		},
		"FlagWithoutValue": {
			reason: "the controller ends at once, which its Deployment tells",
			change: deployment(`{name: controller, image: "r/c:v0.2.0", args: [--mover-image], env: [{name: MOVER_IMAGE, value: "r/f:v0.2.0"}]}`),
			want:   finding{"Restores", "images", check.OK, `same tag "v0.2.0"`, "", nil},
		},
		"Digests": {
			reason: "two digests differ, of one version or not",
			change: deployment(`{name: controller, image: "r/c@sha256:00", env: [{name: MOVER_IMAGE, value: "r/f@sha256:01"}]}`),
			want:   finding{"Restores", "images", check.OK, "both named by digest: whether they are of one version cannot be seen", "", nil},
		},
		"OneDigest": {
			reason: "a tag does not tell either of which version the other's digest is",
			change: deployment(`{name: controller, image: "r/c@sha256:00", env: [{name: MOVER_IMAGE, value: "r/f:v0.1.0@sha256:01"}]}`),
			want:   finding{"Restores", "images", check.OK, "one of the controller's image r/c@sha256:00 and its MOVER_IMAGE r/f:v0.1.0@sha256:01 is named by digest only: whether they are of one version cannot be seen", "", nil},
		},
		"NoTag": {
			reason: "the kubelet pulls what is called latest",
			change: deployment(`{name: controller, image: "r/c", env: [{name: MOVER_IMAGE, value: "r/f"}]}`),
			want:   finding{"Restores", "images", check.OK, `same tag "latest"`, "", nil},
		},
		"NoMover": {
			reason: "the controller ends at once without it",
			change: deployment(`{name: controller, image: "r/c:v0.2.0"}`),
			want:   finding{"Restores", "images", check.Failed, "no MOVER_IMAGE", "", nil},
		},
		"Placeholder": {
			reason: "a restore's pod could never be pulled",
			change: deployment(`{name: controller, image: "r/c:v0.1.0", env: [{name: MOVER_IMAGE, value: "registry.example.com/threescale-backup/function:v0.1.0"}]}`),
			want:   finding{"Restores", "images", check.Failed, "the placeholder registry.example.com/", "", nil},
		},
		"Older": {
			reason: "the API server would drop what a restore says there",
			change: func(t *testing.T, o *check.Observed) {
				remove(t, o.RestoreSchema.Value, "properties", "spec", "properties", "databaseSecrets")
			},
			want: finding{"Restores", "fields", check.Failed, "and lacks: spec.databaseSecrets", "kubectl apply --server-side -k manifests/crd", []string{"spec.databaseSecrets"}},
		},
	} {
		t.Run(name, tc.run)
	}
}
