package specs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// TestStepsWriteOnlyWhereTheyMust: a volume that can be written to is also one
// whose owners the kubelet changes.
func TestStepsWriteOnlyWhereTheyMust(t *testing.T) {
	cases := map[string]struct {
		reason   string
		job      *batchv1.Job
		writable []string // names of volumes
		mounted  []string
	}{
		"Inspect": {
			"an inspection only reads", InspectJob(fullInspect()), nil, []string{VolumeBackup, volumeFileStorage, volumeIdentities},
		},
		"InspectNothingThere": {
			"a namespace that was just made has no file storage", InspectJob(InspectInput{StepInput: plainStep(Inspecting)}), nil, []string{VolumeBackup},
		},
		"Refill": {
			"a backup is never written to", RefillJob(fullRefill()), []string{volumeFileStorage}, []string{VolumeBackup, volumeFileStorage, volumeIdentities},
		},
		"InspectBucket": {
			"no volume holds what is read", InspectJob(bucketInspect()), nil, []string{volumeBucketCA, volumeBucketProxy, volumeBucketIdentity, volumeFileStorage, volumeIdentities},
		},
		"RefillBucket": {
			"files go from the bucket to where they belong, without a stop", RefillJob(bucketRefill()), []string{volumeFileStorage}, []string{volumeBucketCredentials, volumeFileStorage},
		},
		"InspectFiles": {
			"the Secret is in the run", InspectJob(filesInspect()), nil, []string{VolumeBackup},
		},
		"RefillFiles": {
			"no volume is filled", RefillJob(filesRefill()), nil, []string{VolumeBackup, volumeFileBucketIdentity, volumeFileBucketSecret, volumeIdentities},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := tc.job.Spec.Template.Spec
			var writable, mounted []string
			for i, volume := range pod.Volumes {
				mounted = append(mounted, volume.Name)
				mount := pod.Containers[0].VolumeMounts[i]
				assert.Equal(t, volume.Name, mount.Name)
				if pvc := volume.PersistentVolumeClaim; pvc != nil {
					assert.Equal(t, pvc.ReadOnly, mount.ReadOnly, tc.reason)
				}
				if !mount.ReadOnly {
					writable = append(writable, volume.Name)
				}
			}
			assert.Equal(t, tc.writable, writable, tc.reason)
			assert.Equal(t, tc.mounted, mounted, tc.reason)
		})
	}
}

// TestBucketInPlaceOfVolume: the mover is told of one source, and the Job counts as a
// reader of no volume, whose name would be empty.
func TestBucketInPlaceOfVolume(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		job  *batchv1.Job
	}{
		"Inspect": {inspectOptions(bucketInspect()).Args(), InspectJob(bucketInspect())},
		"Refill":  {refillOptions(bucketRefill()).Args(), RefillJob(bucketRefill())},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.args, tc.job.Spec.Template.Spec.Containers[0].Args)
			assert.Contains(t, tc.args, "--bucket=backups")
			for _, arg := range tc.args {
				assert.False(t, strings.HasPrefix(arg, "--volume"), arg)
			}
			assert.NotContains(t, tc.job.Labels, v1alpha1.LabelReads)
		})
	}
	for _, arg := range RefillJob(fullRefill()).Spec.Template.Spec.Containers[0].Args {
		assert.NotContains(t, arg, "bucket", "a volume is read as ever")
	}
}

// TestFilesIntoABucket: the Job is bound to no volume of the file storage, nor to its node, and gets of the Secret what
// leads to the bucket.
func TestFilesIntoABucket(t *testing.T) {
	refill := RefillJob(filesRefill())
	assert.NotContains(t, refill.Annotations, v1alpha1.AnnotationFileStorage)
	pod := refill.Spec.Template.Spec
	assert.Equal(t, fullStep(Refilling).Settings.Affinity, pod.Affinity, "it runs on any node")
	assert.Subset(t, pod.Containers[0].Args, []string{"--file-bucket", "--file-bucket-token=" + job.FileBucketTokenPath, "--file-bucket-secrets=" + job.FileBucketSecretsPath})
	for _, arg := range pod.Containers[0].Args {
		assert.False(t, strings.HasPrefix(arg, "--file-storage"), arg)
	}
	for _, v := range pod.Volumes {
		if v.Name == volumeFileBucketSecret {
			secret := v.Projected.Sources[0].Secret
			assert.True(t, *secret.Optional, "a pod without it says so")
			assert.Len(t, secret.Items, 2)
		}
	}
	mount := pod.Containers[0].VolumeMounts[2]
	assert.Equal(t, job.FileBucketSecretsPath+"/files.of.copy", mount.MountPath)
	assert.True(t, mount.ReadOnly)

	in := filesInspect()
	in.FileBucket.Live = true
	pod = InspectJob(in).Spec.Template.Spec
	assert.Contains(t, pod.Containers[0].Args, "--file-bucket-secrets="+job.FileBucketSecretsPath, "that of the run is not meant, though none is known yet")
	assert.Len(t, pod.Volumes, 1)
	in.FileBucket.Secret = "files"
	assert.Len(t, InspectJob(in).Spec.Template.Spec.Volumes, 1, "without items, the whole Secret would be mounted")
}

// TestSourceOnOpenShift: the volume of a namespace that is gone has that one's
// group, and the kubelet alone can give it another, if it may write.
func TestSourceOnOpenShift(t *testing.T) {
	for name, tc := range map[string]struct {
		reason            string
		assigns, readOnly bool
		want              bool
	}{
		"Elsewhere":         {"the pod's user is the same everywhere", false, false, true},
		"OpenShift":         {"the pod's user is of this namespace", true, false, false},
		"OpenShiftReadOnly": {"a snapshot cannot be changed, or is not to be", true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := plainRefill()
			in.AssignsUID, in.VolumeReadOnly = tc.assigns, tc.readOnly
			pod := RefillJob(in).Spec.Template.Spec
			assert.Equal(t, tc.want, pod.Volumes[0].PersistentVolumeClaim.ReadOnly, tc.reason)
			assert.True(t, pod.Containers[0].VolumeMounts[0].ReadOnly, "the mover never writes to it")
		})
	}
}

// TestIdentities: of a Secret that holds more, only identities are mounted.
func TestIdentities(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     Identities
		keys   []string
		path   string
	}{
		"None":      {"a plain backup needs none", Identities{}, nil, ""},
		"NoKeys":    {"nothing of the Secret is one", Identities{Secret: "s", Keys: []string{"sops.asc", "agekey"}}, nil, ""},
		"OnlyThese": {"a password is none of the mover's business", Identities{Secret: "s", Keys: []string{"z.agekey", "password", "a.agekey"}}, []string{"a.agekey", "z.agekey"}, job.IdentitiesPath},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := plainRefill()
			in.Identities = tc.in
			assert.Equal(t, tc.path, refillOptions(in).Identities, tc.reason)
			var keys []string
			for _, volume := range RefillJob(in).Spec.Template.Spec.Volumes {
				if volume.Projected != nil {
					for _, item := range volume.Projected.Sources[0].Secret.Items {
						keys = append(keys, item.Key)
					}
				}
			}
			assert.Equal(t, tc.keys, keys, tc.reason)
		})
	}
}

// TestStepMayReadNoSecret: what is handed over is the controller's to read.
func TestStepMayReadNoSecret(t *testing.T) {
	for _, rule := range StepRole(aStep(Inspecting), 3).Rules {
		assert.Equal(t, []string{"patch"}, rule.Verbs)
		assert.NotEmpty(t, rule.ResourceNames)
	}
	assert.Len(t, StepRole(aStep(Refilling), 0).Rules, 1, "a rule without names would be one for all")
}

// TestStepDoesNotShare: what a step is made of can be used again.
func TestStepDoesNotShare(t *testing.T) {
	in := fullRefill()
	made := RefillJob(in)
	made.Labels["x"], made.OwnerReferences[0].Name = "y", "z"
	again := RefillJob(in)
	assert.NotContains(t, again.Labels, "x")
	assert.Equal(t, "dr", again.OwnerReferences[0].Name)
}

// FuzzStepName: whatever a restore is called, its objects have valid names that
// are those of no other.
func FuzzStepName(f *testing.F) {
	f.Add("dr", "5f3a9c01")
	f.Add(longest("a"), "1")
	f.Add(strings.Repeat("a", 253), strings.Repeat("9", 40))
	f.Fuzz(func(t *testing.T, restore, id string) {
		if len(validation.IsDNS1123Subdomain(restore)) > 0 || len(validation.IsDNS1123Label(id)) > 0 {
			t.Skip() // no object is called so
		}
		s := Step{Restore: restore, Namespace: "n", Action: Inspecting, ID: id}
		assert.Empty(t, validation.IsDNS1123Label(s.Name()), s.Name())
		for _, name := range append(handoverNames(s, 2), StepReportName(s)) {
			assert.Empty(t, validation.IsDNS1123Subdomain(name), name)
		}
		for _, value := range s.Labels() {
			assert.Empty(t, validation.IsValidLabelValue(value), value)
		}
		other := s
		other.Action = Refilling
		assert.NotEqual(t, s.Name(), other.Name())
		other = s
		other.ID += "x"
		assert.NotEqual(t, s.Name(), other.Name())
		other = s
		other.Restore += "x"
		assert.NotEqual(t, s.Name(), other.Name())
	})
}

// TestAttemptOfARestoreMadeAgain: the mark of what a restore has loaded is none of a later one with the same name and text.
func TestAttemptOfARestoreMadeAgain(t *testing.T) {
	first, again := aStep(Inspecting), aStep(Inspecting)
	again.Owners[0].UID = "0b5c1a52-4b8e-4f0c-9c5a-6c1f3c6a2a11"
	assert.NotEqual(t, first.attempt(), again.attempt())
	assert.Equal(t, first.attempt(), aStep(Refilling).attempt(), "all Jobs of an attempt are one")
}
