package specs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
	"threescale.dev/backup/test/dataset"
)

var update = flag.Bool("update", false, "write the golden files")

var aRun = Run{Identity: Identity{Backup: "nightly", Namespace: "3scale"}, ID: "20261122t115900z-1a2b3c4d", Attempt: 1}

// goldens are one object of each kind, as core applies it.
func goldens() map[string]runtime.Object {
	fast := "fast"
	second := aRun
	second.Attempt = 2
	return map[string]runtime.Object{
		"job":           Job(plainInput()),
		"job-all":       Job(fullInput()),
		"job-databases": Job(databasesInput()),
		"pvc": PVC(aRun.Identity, corev1.PersistentVolumeClaimSpec{
			Resources: sized("10Gi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		}, "7027a0bd-0351-4059-9ce8-5ee8f02ad2b3"),
		"pvc-all": PVC(aRun.Identity, corev1.PersistentVolumeClaimSpec{
			Resources: sized("1.5Ti"), VolumeName: "pv-1", StorageClassName: &fast,
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany, corev1.ReadWriteOnce},
		}, ""),
		"secret-copy": SecretCopy(second, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "system-app", ResourceVersion: "4711"}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{"tls.crt": []byte("made up"), "tls.key": []byte("this too")},
		}),
		"secret-objects": ObjectsSecret(aRun, map[string][]byte{"run.json": []byte("{}"), "secret-metadata/system-app.json": []byte("{}\n")}),
		"configmap":      Report(second, `{"kind":"Trigger","value":"before-upgrade"}`),
		"serviceaccount": ServiceAccount(aRun.Identity),
		"role":           Role(aRun.Identity, ReportName(aRun)),
		"rolebinding":    RoleBinding(aRun.Identity),

		"verify":        VerifyJob(plainVerify()),
		"verify-all":    VerifyJob(fullVerify()),
		"verify-report": VerificationReport(aVerification, `{"slot":"20261122T120000Z"}`),
		"verify-role":   Role(aVerification.Identity, VerificationReportName(aVerification)),
		"verify-bucket": VerifyJob(bucketVerify()),

		"copy":        CopyJob(plainCopy()),
		"copy-all":    CopyJob(fullCopy()),
		"copy-report": CopyReport(aCopy, `{"slot":"20261122T120000Z"}`),

		"restore-resync":         ResyncJob(plainResync()),
		"restore-inspect":        InspectJob(InspectInput{StepInput: plainStep(Inspecting)}),
		"restore-inspect-all":    InspectJob(fullInspect()),
		"restore-refill":         RefillJob(plainRefill()),
		"restore-refill-all":     RefillJob(fullRefill()),
		"restore-inspect-bucket": InspectJob(bucketInspect()),
		"restore-refill-bucket":  RefillJob(bucketRefill()),
		"restore-inspect-live":   InspectJob(liveInspect()),
		"restore-inspect-files":  InspectJob(filesInspect()),
		"restore-refill-files":   RefillJob(filesRefill()),
		"restore-load":           LoadJob(plainLoad()),
		"restore-load-all":       LoadJob(fullLoad()),
		"restore-report":         StepReport(aStep(Refilling)),
		"restore-handover":       HandoverSecret(aStep(Inspecting), 1),
		"restore-serviceaccount": StepServiceAccount(aStep(Inspecting)),
		"restore-role-inspect":   StepRole(aStep(Inspecting), 2),
		"restore-role-refill":    StepRole(aStep(Refilling), 0),
		"restore-rolebinding":    StepRoleBinding(aStep(Inspecting)),
	}
}

func sized(size string) corev1.VolumeResourceRequirements {
	return corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}}
}

func aStep(action Action) Step {
	return Step{Restore: "dr", Namespace: "3scale", Action: action, ID: "5f3a9c01", Owners: []metav1.OwnerReference{{
		APIVersion: "backup.threescale.dev/v1alpha1", Kind: "ThreeScaleRestore", Name: "dr", UID: "7027a0bd-0351-4059-9ce8-5ee8f02ad2b3",
		Controller: new(true), BlockOwnerDeletion: new(true),
	}}}
}

func plainStep(action Action) StepInput {
	return StepInput{Step: aStep(action), Mover: Mover{Image: "registry.example.com/threescale-backup:v1", VolumePVC: "nightly-backup"}, Run: job.Latest}
}

func plainRefill() RefillInput {
	in := RefillInput{StepInput: plainStep(Refilling), Existing: v1alpha1.ExistingFail}
	in.Run, in.FileStoragePVC = "20261122t115900z-1a2b3c4d", "system-storage"
	return in
}

func fullStep(action Action) StepInput {
	full, in := fullInput(), plainStep(action)
	in.Run, in.FileStoragePVC, in.FileStorageBeside, in.Settings = "trigger-1a2b3c4d5e6f", "system-storage", full.FileStorageBeside, full.Settings
	in.ManifestSHA256 = strings.Repeat("0123456789abcdef", 4)
	in.Identities = Identities{Secret: "sops-age", Keys: []string{"second.agekey", "sops.asc", "first.agekey", "password"}}
	return in
}

func fullInspect() InspectInput {
	return InspectInput{StepInput: fullStep(Inspecting), HandoverParts: 2}
}

func fullRefill() RefillInput {
	return RefillInput{StepInput: fullStep(Refilling), Existing: v1alpha1.ExistingMirror}
}

func bucketInspect() InspectInput {
	in := fullInspect()
	in.VolumePVC, in.Bucket = "", new(fullBucket())
	return in
}

func bucketRefill() RefillInput {
	in := plainRefill()
	in.VolumePVC, in.Bucket = "", new(plainBucket())
	in.Bucket.Prefix = "3scale/nightly"
	return in
}

// filesInspect compares with a bucket, to which the Secret of the run leads.
func filesInspect() InspectInput {
	in := InspectInput{StepInput: plainStep(Inspecting)}
	in.FileBucket = &FileBucket{}
	return in
}

// filesRefill fills a bucket, to which a Secret of the namespace leads, and a role logs in; a volume is left over.
func filesRefill() RefillInput {
	in := fullRefill()
	in.FileBucket = &FileBucket{Audience: "openshift", Live: true, Secret: "files.of.copy", Keys: []string{"AWS_BUCKET", "AWS_REGION"}}
	in.FileStorageUID = "a"
	return in
}

// liveInspect looks at the databases that the Secrets of the namespace lead to.
func liveInspect() InspectInput {
	in := InspectInput{StepInput: plainStep(Inspecting), Databases: v1alpha1.DatabasesIfEmpty}
	in.Connections = Connections{Live: true, Secrets: []Connection{
		{Database: "system-database", Secret: "system-database", Keys: []string{"URL", "DB_SSL_CA"}},
		{Database: "zync-database", Secret: "zync"},
	}}
	return in
}

// plainLoad loads what the Secrets of the run lead to.
func plainLoad() LoadInput {
	in := LoadInput{StepInput: plainStep(Loading), Policy: v1alpha1.DatabasesIfEmpty}
	in.Run, in.FileStoragePVC = "20261122t115900z-1a2b3c4d", "system-storage"
	in.Databases = []LoadDatabase{
		{Name: "backend-redis"},
		{Name: "system-database", Image: "registry.example.com/postgresql-15:1", Encrypted: true},
	}
	return in
}

// fullLoad loads what the Secrets of the namespace lead to.
func fullLoad() LoadInput {
	in := LoadInput{StepInput: fullStep(Loading), Policy: v1alpha1.DatabasesReplace, Databases: plainLoad().Databases}
	in.VolumePVC, in.Bucket = "", new(fullBucket())
	in.Connections = liveInspect().Connections
	in.Connections.Secrets = append(in.Connections.Secrets, Connection{Database: "backend-redis", Secret: "backend-redis", Keys: []string{"REDIS_STORAGE_URL"}})
	in.Scratch = &v1alpha1.ScratchVolume{StorageClassName: "fast", Size: resource.MustParse("50Gi")}
	return in
}

func plainInput() JobInput {
	return JobInput{
		Run: aRun, Mover: Mover{Image: "registry.example.com/threescale-backup:v1", VolumePVC: "nightly-backup", FileStoragePVC: "system-storage"},
		Files:  []string{"run.json", "apimanager/apimanager-backup.json", "secret-metadata/system-app.json", "configmaps/system-environment.json"},
		Copies: []Copy{{Name: SecretCopyName(aRun, "system-app"), Source: "system-app", Keys: []string{"USER_SESSION_TTL", "SECRET_KEY_BASE"}}, {Name: "empty", Source: "empty"}},
	}
}

func fullInput() JobInput {
	in := plainInput()
	in.Run.Attempt = 5
	in.Inconsistent = true
	in.Recipients = []string{"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg"}
	in.FileStorageBeside = threescale.FileStoragePodSelector("2.16")
	in.Settings = v1alpha1.JobSettings{
		ActiveDeadlineSeconds: new(int64(3600)),
		BackoffLimit:          new(int32(0)),
		Resources: &corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{"memory": resource.MustParse("128Mi")},
		},
		NodeSelector:      map[string]string{"disk": "ssd"},
		Tolerations:       []corev1.Toleration{{Key: "backup", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		ImagePullSecrets:  []corev1.LocalObjectReference{{Name: "registry-pull"}},
		PriorityClassName: "low",
		Affinity: &corev1.Affinity{
			PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: "zone", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
			}}},
		},
		PodSecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64(1001)), SupplementalGroups: []int64{2000}},
	}
	return in
}

// databasesInput has a database of each kind.
func databasesInput() JobInput {
	in := fullInput()
	in.Run.Attempt, in.Ended = 1, []string{"20261121t115900z-1a2b3c4d"}
	for _, d := range []Dump{
		{Database: "backend-redis", Connection: Copy{Source: "backend-redis", Keys: []string{"REDIS_STORAGE_URL", "REDIS_SSL_CA"}}},
		{Database: "system-database", Image: "registry.example.com/postgresql-15:1.2", Encrypted: true, Connection: Copy{Source: "system-database", Keys: []string{"URL", "DB_SSL_CA"}}},
	} {
		d.Connection.Name = SecretCopyName(in.Run, d.Connection.Source)
		in.Dumps = append(in.Dumps, d)
	}
	return in
}

func TestGolden(t *testing.T) {
	for name, object := range goldens() {
		t.Run(name, func(t *testing.T) {
			fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
			require.NoError(t, err)
			delete(fields, "status")
			if values, ok := fields["data"].(map[string]any); ok {
				for key, value := range values { // no golden file holds a Secret's value, not even a made-up one
					values[key] = fmt.Sprintf("(%d characters)", len(value.(string)))
				}
			}
			got, err := yaml.Marshal(fields)
			require.NoError(t, err)
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				require.NoError(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err, "run: go test ./fn/specs -update")
			assert.Equal(t, string(want), string(got), "if this is meant, run: go test ./fn/specs -update")
		})
	}
}

// TestGoldenFilesHoldNoSecret looks for values of the data set as well.
func TestGoldenFilesHoldNoSecret(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.Len(t, files, len(goldens()), "a golden file that nobody compares")
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, form := range append(dataset.MarkerForms(), "made up", "bWFkZSB1cA", "dGhpcyB0b28") {
			assert.NotContains(t, string(text), form, file)
		}
	}
}

// TestJobDoesNotShare: what a Job is made of can be used again.
func TestJobDoesNotShare(t *testing.T) {
	in := fullInput()
	before := *in.Settings.Affinity.DeepCopy()
	first := Job(in)
	first.Labels["x"] = "y"
	assert.Equal(t, before, *in.Settings.Affinity, "the user's affinity is not changed")
	assert.NotContains(t, Job(in).Labels, "x")
	again := Job(in)
	assert.Equal(t, Job(in), again)
}

// TestDeterminism: keys come from a map.
func TestDeterminism(t *testing.T) {
	in := plainInput()
	in.Copies[0].Keys = []string{"SECRET_KEY_BASE", "USER_SESSION_TTL"}
	in.Files = []string{"configmaps/system-environment.json", "secret-metadata/system-app.json", "apimanager/apimanager-backup.json", "run.json"}
	assert.Equal(t, Job(plainInput()), Job(in))
}
