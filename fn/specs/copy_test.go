package specs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/retention"
)

var aCopy = OffsiteCopy{Identity: Identity{Backup: "nightly", Namespace: "3scale"}, ID: "20261122t120000z-5f3a9c01", About: `{"run":"20261122t115900z-1a2b3c4d"}`}

func plainCopy() CopyInput {
	return CopyInput{
		Copy: aCopy, Mover: Mover{Image: "registry.example.com/threescale-backup:v1", VolumePVC: "nightly-backup"}, Run: "20261122t115900z-1a2b3c4d",
		Owner: "3scale/nightly-backup/7027a0bd-0351-4059-9ce8-5ee8f02ad2b3", Bucket: plainBucket(), Prefix: "3scale/nightly",
	}
}

func fullCopy() CopyInput {
	in := plainCopy()
	in.Bucket, in.ObjectLock = fullBucket(), &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 30}
	in.Retention, in.TimeZone = retention.Policy{KeepDaily: 14}, "Europe/Berlin"
	in.Settings, in.AssignsUID = fullInput().Settings, true
	in.Known = []string{"20261121t115900z-1a2b3c4d=" + strings.Repeat("0123456789abcdef", 4)}
	return in
}

func bucketVerify() VerifyInput {
	in, b := plainVerify(), plainBucket()
	in.Bucket, in.Prefix = &b, "3scale/nightly"
	in.Verification.Bucket = "s3.example.com/backups/3scale/nightly"
	return in
}

// TestCopySeesOnlyWhatIsStored: the pod with the bucket's credentials has no Secret of
// the installation, and cannot harm the volume.
func TestCopySeesOnlyWhatIsStored(t *testing.T) {
	for name, in := range map[string]CopyInput{"Plain": plainCopy(), "All": fullCopy()} {
		t.Run(name, func(t *testing.T) {
			pod := CopyJob(in).Spec.Template.Spec
			assert.Len(t, pod.Volumes, 1+len(bucketMounts(in.Bucket)))
			assert.True(t, pod.Volumes[0].PersistentVolumeClaim.ReadOnly, "else the kubelet changes the owners of what is stored")
			for _, m := range pod.Containers[0].VolumeMounts {
				assert.True(t, m.ReadOnly, m.Name)
			}
			for _, v := range pod.Volumes[1:] {
				assert.True(t, strings.HasPrefix(v.Name, "bucket-"), v.Name)
			}
			o := copyOptions(in)
			assert.Equal(t, o.Args(), pod.Containers[0].Args)
			assert.Equal(t, CopyReport(in.Copy, "").Name, o.Report)
			assert.Zero(t, *CopyJob(in).Spec.BackoffLimit, "it is tried again as another copy, which tells why")
		})
	}
	assert.Equal(t, int32(0), *fullInput().Settings.BackoffLimit)
}

// TestBucketVerifySeesNoVolume: what proves the bucket needs the bucket only.
func TestBucketVerifySeesNoVolume(t *testing.T) {
	pod := VerifyJob(bucketVerify()).Spec.Template.Spec
	for _, v := range pod.Volumes {
		assert.Nil(t, v.PersistentVolumeClaim, v.Name)
	}
	o := verifyOptions(bucketVerify())
	assert.Empty(t, o.Volume)
	assert.Equal(t, "backups", o.Bucket)
	assert.Equal(t, "3scale/nightly", o.Prefix)
	assert.Equal(t, job.BucketCredentialsPath, pod.Containers[0].VolumeMounts[0].MountPath)
}

// FuzzCopyName: whatever a backup is called, its copies have valid names that are those
// of none of its runs and verifications.
func FuzzCopyName(f *testing.F) {
	f.Add("nightly", "20261122t050000z-5f3a9c01")
	f.Add(longest("a"), "1")
	f.Add(strings.Repeat("a", 253), strings.Repeat("9", 40))
	f.Fuzz(func(t *testing.T, backup, id string) {
		if len(validation.IsDNS1123Subdomain(backup)) > 0 || len(validation.IsDNS1123Label(id)) > 0 {
			t.Skip() // no object is called so
		}
		identity := Identity{Backup: backup, Namespace: "n"}
		c := OffsiteCopy{Identity: identity, ID: id}
		assert.Empty(t, validation.IsDNS1123Label(c.Name()), c.Name())
		assert.Empty(t, validation.IsDNS1123Subdomain(CopyReportName(c)))
		for _, value := range c.Labels() {
			assert.Empty(t, validation.IsValidLabelValue(value), value)
		}
		assert.NotEqual(t, c.Name(), Verification{Identity: identity, ID: id}.Name())
		assert.NotEqual(t, c.Name(), Run{Identity: identity, ID: id, Attempt: 1}.Name())
		other := c
		other.Backup += "x"
		assert.NotEqual(t, c.Name(), other.Name())
	})
}
