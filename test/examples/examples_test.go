package examples_test

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/overlay"
	"threescale.dev/backup/fn/restore"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/test/docs"
	"threescale.dev/backup/test/examples"
)

// root of the repository, from this package's folder.
const root = "../.."

// example is an example with its objects decoded.
type example struct {
	restore       *v1alpha1.ThreeScaleRestore
	repository    *sourcev1.GitRepository
	kustomization *kustomizev1.Kustomization
	namespaces    []string
	accounts      []*corev1.ServiceAccount
	roles         []*rbacv1.Role
	bindings      []*rbacv1.RoleBinding
}

// eachExample runs a subtest for each example.
func eachExample(t *testing.T, test func(t *testing.T, name string, e *example)) {
	t.Helper()
	for _, name := range examples.Names() {
		t.Run(name, func(t *testing.T) { test(t, name, read(t, name)) })
	}
}

// read decodes an example. A field that its type does not have is an error, and
// so is a second object of a kind that there is one of.
func read(t *testing.T, name string) *example {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	e := &example{}
	for _, object := range load(t, name) {
		data, err := object.MarshalJSON()
		require.NoError(t, err)
		decoded, _, err := decoder.Decode(data, nil, nil)
		require.NoError(t, err, "%s %q", object.GetKind(), object.GetName())
		switch decoded := decoded.(type) {
		case *v1alpha1.ThreeScaleRestore:
			require.Nil(t, e.restore)
			e.restore = decoded
		case *sourcev1.GitRepository:
			require.Nil(t, e.repository)
			e.repository = decoded
		case *kustomizev1.Kustomization:
			require.Nil(t, e.kustomization)
			e.kustomization = decoded
		case *corev1.Namespace:
			e.namespaces = append(e.namespaces, decoded.Name)
		case *corev1.ServiceAccount:
			e.accounts = append(e.accounts, decoded)
		case *rbacv1.Role:
			e.roles = append(e.roles, decoded)
		case *rbacv1.RoleBinding:
			e.bindings = append(e.bindings, decoded)
		default:
			require.Fail(t, "unexpected", "%s %q", object.GetKind(), object.GetName())
		}
	}
	require.NotNil(t, e.restore)
	require.NotNil(t, e.repository)
	require.NotNil(t, e.kustomization)
	admitted, _ := restoreDefinition(t).admit(t, restoreOf(t, name))
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(admitted, e.restore), "with its defaults")
	return e
}

func load(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := examples.Load(root, name)
	require.NoError(t, err)
	return objects
}

// restoreOf is the restore of an example, as it is written.
func restoreOf(t *testing.T, name string) map[string]any {
	t.Helper()
	for _, object := range load(t, name) {
		if object.GetKind() == v1alpha1.KindRestore {
			return object.Object
		}
	}
	require.Fail(t, "no restore")
	return nil
}

// TestNames: each folder is an example, begins with what it shows, and is in
// their page.
func TestNames(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(examples.Dir)))
	require.NoError(t, err)
	folders := make([]string, 0, len(entries))
	for _, entry := range entries {
		folders = append(folders, entry.Name())
	}
	// Statements for databases are no restore; test/databases runs them.
	assert.ElementsMatch(t, folders, append(examples.Names(), "databases", "README.md"))
	page, err := docs.Read(root, examples.Dir+"/README.md")
	require.NoError(t, err)
	for _, name := range examples.Names() {
		assert.Contains(t, page.Links(), name+"/restore.yaml")
	}
	for _, name := range examples.Names() {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(examples.Dir), name, "*"))
		require.NoError(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(string(data), "# "), "%s begins with what it shows", file)
		}
	}
}

// TestAdmitted: the API server accepts each restore, and knows all of it.
func TestAdmitted(t *testing.T) {
	d := restoreDefinition(t)
	for _, name := range examples.Names() {
		t.Run(name, func(t *testing.T) {
			admitted, refused := d.admit(t, restoreOf(t, name))
			assert.Empty(t, refused)
			var got v1alpha1.ThreeScaleRestore
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(admitted, &got))
			assert.Equal(t, 10*time.Minute, got.Spec.Interval.Duration, "a default")
			assert.Equal(t, "latest", got.Spec.RestoreSource.Run, "a default")
			assert.Equal(t, "GitRepository", got.Spec.SourceRef.Kind, "a default")
			assert.Equal(t, int64(-1), got.Status.ObservedGeneration, "a default, by which kstatus knows a new object")
		})
	}
}

// TestFluxAppliesTheRestore: the Kustomization is one that the restore accepts:
// of its repository, with its overlay, decrypting, and waiting for real.
func TestFluxAppliesTheRestore(t *testing.T) {
	eachExample(t, func(t *testing.T, _ string, e *example) {
		k, r := e.kustomization, e.restore
		require.NotNil(t, r.Spec.KustomizationRef)
		assert.Equal(t, k.Name, r.Spec.KustomizationRef.Name)
		assert.Equal(t, k.Namespace, restore.NamespaceOf(r, *r.Spec.KustomizationRef))
		assert.Equal(t, e.repository.Name, r.Spec.SourceRef.Name)
		assert.Equal(t, e.repository.Namespace, restore.NamespaceOf(r, r.Spec.SourceRef.NamespacedReference))
		assert.Equal(t, sourcev1.GitRepositoryKind, k.Spec.SourceRef.Kind)
		assert.Equal(t, e.repository.Name, k.Spec.SourceRef.Name)
		assert.Contains(t, []string{"", e.repository.Namespace}, k.Spec.SourceRef.Namespace)
		assert.Equal(t, e.repository.Namespace, k.Namespace)

		assert.Equal(t, "./"+path.Join(r.Spec.Path, overlay.Dir(r.Name)), k.Spec.Path)
		assert.True(t, k.Spec.Prune)
		assert.Equal(t, kustomizev1.DeletionPolicyOrphan, k.Spec.DeletionPolicy, "deleting the Kustomization leaves the installation")
		assert.Empty(t, k.Spec.TargetNamespace, "the overlay has the namespace")
		assert.Nil(t, k.Spec.PostBuild, "nothing is substituted in what is restored")
		require.NotNil(t, k.Spec.Decryption)
		assert.Equal(t, "sops", k.Spec.Decryption.Provider)
		require.NotNil(t, k.Spec.Decryption.SecretRef)

		assert.Empty(t, k.Spec.HealthChecks, "the APIManager becomes available only by a later step of the restore")
	})
}

// TestRepositoryTakesTheCommit: the first steps of the restore itself find
// nothing to complain about.
func TestRepositoryTakesTheCommit(t *testing.T) {
	eachExample(t, func(t *testing.T, _ string, e *example) {
		assert.Equal(t, examples.URL, e.repository.Spec.URL)
		assert.Equal(t, "main", restore.BranchOf(e.restore, e.repository))
		assert.NotNil(t, e.repository.Spec.SecretRef)
		observed := &restore.State{Facts: restore.Facts{Restore: e.restore, Repository: e.repository, Kustomization: e.kustomization}}
		observed.SourcePVC = &corev1.PersistentVolumeClaim{}
		observed.Backup = &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"backupPersistentVolumeClaimName": "nightly-backup"}}}
		if source := e.restore.Spec.RestoreSource.PersistentVolume; source != nil {
			observed.SourceVolume = &corev1.PersistentVolume{}
			observed.SourcePVC.Spec.VolumeName = source.VolumeName
		}
		if source := e.restore.Spec.RestoreSource.Bucket; source != nil {
			observed.SourcePVC = nil
			observed.BucketSecrets = map[string][]string{}
			for _, secret := range specs.BucketSecrets(*source) {
				observed.BucketSecrets[secret.Name] = secret.Keys[0]
			}
		}
		observed.RightsAsked = true
		assert.Equal(t, restore.Act{Action: restore.ReadBranch}, restore.Next(observed), "the source and the repository can be used")

		if e.repository.Namespace == e.restore.Namespace {
			assert.Empty(t, e.repository.Annotations, "there is nobody else to let in")
			observed.NoCrossNamespaceRefs = true
			assert.Equal(t, restore.Act{Action: restore.ReadBranch}, restore.Next(observed))
			return
		}
		e.repository.Annotations = nil
		refused, ok := restore.Next(observed).(restore.Stop)
		require.True(t, ok, "without the annotation it is refused")
		assert.Equal(t, v1alpha1.ReasonAccessDenied, refused.Problem.Reason)
	})
}

// TestNamespaces: what is the tenant's lies in the restore's namespace, and what
// is Flux's there or in its own.
func TestNamespaces(t *testing.T) {
	eachExample(t, func(t *testing.T, name string, e *example) {
		want := examples.Namespace
		if name == "other-namespace" {
			want = examples.OtherNamespace
		}
		assert.Equal(t, want, e.restore.Namespace)
		assert.Contains(t, []string{want, examples.FluxNamespace}, e.repository.Namespace)
		for _, namespace := range e.namespaces {
			assert.Equal(t, want, namespace)
		}
	})
}

// TestAccount: the ServiceAccount that a restore names is there, and may grant
// what the restore's Jobs need: the API server lets nobody make a Role with
// rights that he does not have himself.
func TestAccount(t *testing.T) {
	named := 0
	eachExample(t, func(t *testing.T, _ string, e *example) {
		account := e.restore.Spec.ServiceAccountName
		if account == "" {
			assert.Empty(t, e.accounts)
			return
		}
		named++
		require.Len(t, e.accounts, 1)
		require.Len(t, e.roles, 1)
		require.Len(t, e.bindings, 1)
		assert.Equal(t, account, e.accounts[0].Name)
		binding := e.bindings[0]
		assert.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: e.restore.Namespace}}, binding.Subjects)
		assert.Equal(t, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: e.roles[0].Name}, binding.RoleRef)
		for _, namespace := range []string{e.accounts[0].Namespace, e.roles[0].Namespace, binding.Namespace} {
			assert.Equal(t, e.restore.Namespace, namespace)
		}
		for _, rule := range specs.StepRole(specs.Step{Restore: "dr", Action: specs.Inspecting, ID: "1"}, 8).Rules {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					assert.True(t, allows(e.roles[0].Rules, rule.APIGroups[0], resource, verb), "%s %s", verb, resource)
				}
			}
		}
	})
	assert.Equal(t, 1, named, "an example shows it")
}

func allows(rules []rbacv1.PolicyRule, group, resource, verb string) bool {
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
		return slices.Contains(rule.APIGroups, group) && slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, verb)
	})
}

// TestScenarios: each example has what makes it one.
func TestScenarios(t *testing.T) {
	for name, test := range map[string]struct {
		reason string
		has    func(s v1alpha1.ThreeScaleRestoreSpec) bool
	}{
		"lost-installation": {"in place, from the claim's own backup", func(s v1alpha1.ThreeScaleRestoreSpec) bool { return s.RestoreSource.BackupRef != nil && !s.DryRun }},
		"other-namespace": {"beside the first: another domain, no database of the first", func(s v1alpha1.ThreeScaleRestoreSpec) bool {
			return s.RestoreSource.PersistentVolumeClaim != nil && s.Target.WildcardDomain != "" && s.DatabaseSecrets == v1alpha1.DatabaseSecretsOmit
		}},
		"other-cluster": {"from a retained volume, with another domain and class", func(s v1alpha1.ThreeScaleRestoreSpec) bool {
			return s.RestoreSource.PersistentVolume != nil && s.Target.WildcardDomain != "" && s.Target.StorageClass != ""
		}},
		"offsite": {"from a bucket, on a cluster that has nothing but what its files name", func(s v1alpha1.ThreeScaleRestoreSpec) bool {
			b := s.RestoreSource.Bucket
			return b != nil && b.Prefix != "" && b.SecretRef != nil && s.Decryption != nil && s.Target.WildcardDomain != "" && s.Target.StorageClass != ""
		}},
		"operator-volume":  {"from a PVC that APIManagerBackup made", func(s v1alpha1.ThreeScaleRestoreSpec) bool { return s.RestoreSource.PersistentVolumeClaim != nil }},
		"encrypted":        {"with the identity, and recipients of its own", func(s v1alpha1.ThreeScaleRestoreSpec) bool { return s.Decryption != nil && s.Encryption != nil }},
		"dry-run":          {"ends after the plan", func(s v1alpha1.ThreeScaleRestoreSpec) bool { return s.DryRun }},
		"protected-branch": {"pushes to another branch", func(s v1alpha1.ThreeScaleRestoreSpec) bool { return s.Git.Push != nil && s.Git.Push.Branch != "main" }},
	} {
		t.Run(name, func(t *testing.T) {
			assert.True(t, test.has(read(t, name).restore.Spec), test.reason)
		})
	}
}
