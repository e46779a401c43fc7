package preflight_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// ready are facts with which a run may start, and nothing wants attention.
func ready() *facts.Facts {
	f := &facts.Facts{
		Identity: specs.Identity{Backup: "nightly", Namespace: "3scale"},
		UID:      "uid",
		Image:    "image:1",
		Home:     &corev1.Namespace{},
		Destination: facts.Destination{
			Name: "nightly-backup",
			Wish: v1alpha1.BackupVolume{Resources: &v1alpha1.BackupVolumeResources{Requests: resource.MustParse("10Gi")}},
		},
		Installation: facts.Installation{
			Found: []string{"example"},
			APIManager: &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"externalComponents": map[string]any{
				"system": map[string]any{"database": true, "redis": true}, "backend": map[string]any{"redis": true},
			}}}},
			Secrets: map[string]*facts.Secret{}, Sources: map[string]*facts.Secret{}, ConfigMaps: map[string]bool{},
			FileStorage: pvc("system-storage", corev1.ReadWriteMany),
		},
	}
	for _, object := range threescale.Secrets(f.Installation.APIManager) {
		f.Installation.Asked = append(f.Installation.Asked, object.Name)
		f.Installation.Secrets[object.Name] = &facts.Secret{}
		f.Installation.Sources[object.Name] = &facts.Secret{}
	}
	for _, object := range threescale.ConfigMaps() {
		f.Installation.ConfigMaps[object.Name] = true
	}
	return f
}

func pvc(name string, modes ...corev1.PersistentVolumeAccessMode) *corev1.PersistentVolumeClaim {
	out := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}}
	out.Spec.AccessModes = modes
	return out
}

// own is the PVC of the backup as an earlier backup of its name left it.
func own() *corev1.PersistentVolumeClaim {
	out := pvc("nightly-backup", corev1.ReadWriteOnce)
	out.Labels = map[string]string{v1alpha1.LabelBackup: "nightly"}
	return out
}

func pv(phase corev1.PersistentVolumePhase, size string, ref *corev1.ObjectReference) *corev1.PersistentVolume {
	out := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-1"}}
	out.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	out.Spec.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}
	out.Spec.ClaimRef, out.Status.Phase = ref, phase
	return out
}

// named has the backup's PVC bind to a PV.
func named(volume *corev1.PersistentVolume) func(*facts.Facts) {
	return func(f *facts.Facts) { f.Destination.Wish.VolumeName, f.Destination.PV = "pv-1", volume }
}

func TestCheck(t *testing.T) {
	t.Parallel()
	now := metav1.Now()
	for name, tc := range map[string]struct {
		reason             string
		change             func(*facts.Facts)
		problems, warnings []string
	}{
		"Ready":      {reason: "nothing is wrong", change: func(*facts.Facts) {}},
		"SpecError":  {"what does not decode is told once", func(f *facts.Facts) { f.SpecError = errors.New("cannot read spec.job") }, []string{v1alpha1.ReasonInvalidSpec}, nil},
		"NoImage":    {"no Job could run", func(f *facts.Facts) { f.Image = "" }, []string{v1alpha1.ReasonInvalidSpec}, nil},
		"Several":    {"all is told together", func(f *facts.Facts) { f.Spec.Schedule, f.Spec.TimeZone, f.Home = "every day", "Moon/Crater", nil }, []string{v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonInvalidSpec, v1alpha1.ReasonNamespaceNotFound}, nil},
		"Trigger":    {"a trigger is recorded", func(f *facts.Facts) { f.Spec.Trigger = strings.Repeat("a", 254) }, []string{v1alpha1.ReasonInvalidSpec}, nil},
		"InputError": {"nobody knows then what is allowed", func(f *facts.Facts) { f.InputError = errors.New("cannot read allow") }, []string{v1alpha1.ReasonInvalidSpec}, nil},
		"JobRefused": {"Crossplane makes the pod, whatever the author may do", func(f *facts.Facts) { f.Spec.Job.PriorityClassName = "system-node-critical" }, []string{v1alpha1.ReasonJobRefused}, nil},
		"NoneFound": {"there is nothing to back up", func(f *facts.Facts) {
			f.Installation = facts.Installation{FileStorage: f.Installation.FileStorage, Secrets: f.Installation.Secrets, ConfigMaps: f.Installation.ConfigMaps}
		}, []string{v1alpha1.ReasonAPIManagerNotFound}, nil},
		"TwoFound":        {"one must be named", func(f *facts.Facts) { f.Installation.Found = []string{"b", "a"} }, []string{v1alpha1.ReasonSeveralAPIManagers}, nil},
		"Internal":        {"three databases are inside", func(f *facts.Facts) { f.Installation.APIManager = &unstructured.Unstructured{} }, []string{v1alpha1.ReasonInternalDatabases, v1alpha1.ReasonInternalDatabases, v1alpha1.ReasonInternalDatabases}, nil},
		"NoFileStorage":   {"the files are part of a backup", func(f *facts.Facts) { f.Installation.FileStorage = nil }, []string{v1alpha1.ReasonFileStorageNotFound}, nil},
		"Skipped":         {"unless they are left out", func(f *facts.Facts) { f.Installation.FileStorage = nil; f.Spec.FileStorage = v1alpha1.FileStorageSkip }, nil, nil},
		"OnePod":          {"the installation's own pod has it", func(f *facts.Facts) { f.Installation.FileStorage = pvc("system-storage", corev1.ReadWriteOncePod) }, []string{v1alpha1.ReasonFileStorageUnusable}, nil},
		"SecretMissing":   {"the installation needs it", func(f *facts.Facts) { delete(f.Installation.Secrets, "system-seed") }, []string{v1alpha1.ReasonSecretMissing}, nil},
		"OptionalMissing": {"the operator writes it again", func(f *facts.Facts) { delete(f.Installation.Secrets, "system-memcache") }, nil, []string{v1alpha1.ReasonOptionalMissing}},
		"Token":           {"a service account's token is never copied", func(f *facts.Facts) { delete(f.Installation.Sources, "system-memcache") }, nil, []string{v1alpha1.ReasonNotCopied}},
		"ConfigMap":       {"it cannot be made again", func(f *facts.Facts) { delete(f.Installation.ConfigMaps, "system-environment") }, []string{v1alpha1.ReasonConfigMapMissing}, nil},
		"LongName": {"no file can be called so", func(f *facts.Facts) {
			long := strings.Repeat("a", 253)
			f.Installation.References = []threescale.SecretRef{{Name: long}}
			f.Installation.Secrets[long], f.Installation.Sources[long] = &facts.Secret{}, &facts.Secret{}
		}, []string{v1alpha1.ReasonInvalidReference}, nil},
		"TooLarge": {"one answer could not hold them", func(f *facts.Facts) {
			f.Installation.Sources["zync"].Encoded = map[string]any{"a": strings.Repeat("a", 3<<20)}
		}, []string{v1alpha1.ReasonSecretsTooLarge}, nil},
		"ObjectsTooLarge": {"one Secret could not hold them", func(f *facts.Facts) { f.Installation.Files = map[string][]byte{"a": make([]byte, 1<<20)} }, []string{v1alpha1.ReasonObjectsTooLarge}, nil},

		"IntoItself": {"the backup would be written into what it backs up", func(f *facts.Facts) { f.Destination.Name = "system-storage" }, []string{v1alpha1.ReasonDestinationIsFileStorage}, nil},
		"UsersAbsent": {"a PVC of the user's is not made", func(f *facts.Facts) {
			f.Destination.Wish, f.Destination.Name = v1alpha1.BackupVolume{ClaimName: "mine"}, "mine"
		}, []string{v1alpha1.ReasonDestinationNotFound}, nil},
		"Adopted": {"an earlier backup of this name left it", func(f *facts.Facts) { f.Destination.PVC = own() }, nil, nil},
		"Taken":   {"it is somebody else's", func(f *facts.Facts) { f.Destination.PVC = pvc("nightly-backup", corev1.ReadWriteOnce) }, []string{v1alpha1.ReasonDestinationTaken}, nil},
		"StillOwned": {"another composite has it yet", func(f *facts.Facts) {
			f.Destination.PVC = own()
			f.Destination.PVC.OwnerReferences = []metav1.OwnerReference{{UID: "other", Controller: new(true)}}
		}, []string{v1alpha1.ReasonDestinationTaken}, nil},
		"Deleted":  {"its data are gone soon", func(f *facts.Facts) { f.Destination.PVC = own(); f.Destination.PVC.DeletionTimestamp = &now }, []string{v1alpha1.ReasonDestinationUnusable}, nil},
		"ReadOnly": {"nothing can be written", func(f *facts.Facts) { f.Destination.PVC = pvc("nightly-backup", corev1.ReadOnlyMany) }, []string{v1alpha1.ReasonDestinationNotWritable}, nil},

		"NoVolume":   {"the named volume is not there", named(nil), []string{v1alpha1.ReasonVolumeNotFound}, nil},
		"Free":       {"nobody claims it", named(pv(corev1.VolumeAvailable, "10Gi", nil)), nil, nil},
		"Reserved":   {"it is kept for this very PVC", named(pv(corev1.VolumeAvailable, "10Gi", &corev1.ObjectReference{Namespace: "3scale", Name: "nightly-backup"})), nil, nil},
		"Bound":      {"it is another's", named(pv(corev1.VolumeBound, "1Gi", &corev1.ObjectReference{Namespace: "other", Name: "x", UID: "u"})), []string{v1alpha1.ReasonVolumeNotAvailable}, nil},
		"Released":   {"it may hold another's data", named(pv(corev1.VolumeReleased, "10Gi", &corev1.ObjectReference{Namespace: "3scale", Name: "x", UID: "u"})), []string{v1alpha1.ReasonVolumeNotAvailable}, nil},
		"TooSmall":   {"what is requested does not fit", named(pv(corev1.VolumeAvailable, "5Gi", nil)), []string{v1alpha1.ReasonVolumeTooSmall}, nil},
		"OfTheFiles": {"it holds what is to be backed up", func(f *facts.Facts) { named(nil)(f); f.Installation.FileStorage.Spec.VolumeName = "pv-1" }, []string{v1alpha1.ReasonDestinationIsFileStorage}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := ready()
			tc.change(f)
			found := preflight.Check(f)
			assert.Equal(t, tc.problems, reasons(found.Problems), "%s: %v", tc.reason, found.Problems)
			assert.Equal(t, tc.warnings, reasons(found.Warnings), "%s: %v", tc.reason, found.Warnings)
			assert.Equal(t, tc.problems == nil, found.Passed())
			assert.Equal(t, name == "JobRefused" || name == "InputError", found.JobRefused)
		})
	}
}

// TestCopiesAmongTheFiles: each backup would hold those before it.
func TestCopiesAmongTheFiles(t *testing.T) {
	t.Parallel()
	const own = "s3.example.com"
	for name, tc := range map[string]struct {
		hostname string // of the file storage; empty: Amazon S3
		offsite  v1alpha1.Bucket
		found    bool
	}{
		"the same":             {own, v1alpha1.Bucket{Endpoint: own, BucketName: "files"}, true},
		"another prefix":       {own, v1alpha1.Bucket{Endpoint: own, BucketName: "files", Prefix: "backups"}, true},
		"the usual port":       {own, v1alpha1.Bucket{Endpoint: "S3.example.com:443", BucketName: "files"}, true},
		"another bucket":       {own, v1alpha1.Bucket{Endpoint: own, BucketName: "backups"}, false},
		"another object store": {own, v1alpha1.Bucket{Endpoint: "s3.example.org", BucketName: "files"}, false},
		"another port":         {own, v1alpha1.Bucket{Endpoint: "s3.example.com:9000", BucketName: "files"}, false},
		"Amazon":               {"", v1alpha1.Bucket{Endpoint: "s3.amazonaws.com", BucketName: "files"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := ready()
			require.NoError(t, unstructured.SetNestedField(f.Installation.APIManager.Object, "s3", "spec", "system", "fileStorage", "simpleStorageService", "configurationSecretRef", "name"))
			values := map[string]string{"AWS_BUCKET": "files", "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
			if tc.hostname != "" {
				values["AWS_HOSTNAME"], values["AWS_PROTOCOL"] = tc.hostname, "https"
			}
			secret := &facts.Secret{Encoded: map[string]any{}}
			for key, value := range values {
				secret.Encoded[key] = base64.StdEncoding.EncodeToString([]byte(value))
			}
			f.Installation.Secrets["s3"], f.Installation.Sources["s3"] = secret, secret
			f.Spec.Offsite = &v1alpha1.Offsite{Bucket: tc.offsite}
			got := reasons(preflight.Check(f).Problems)
			if tc.found {
				assert.Equal(t, []string{v1alpha1.ReasonDestinationIsFileStorage}, got)
				f.Spec.FileStorage = v1alpha1.FileStorageSkip
				got = reasons(preflight.Check(f).Problems)
			}
			assert.Empty(t, got)
		})
	}
}

func reasons(findings []text.Finding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Reason)
	}
	return out
}
