package specs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
)

var aVerification = Verification{Identity: Identity{Backup: "nightly", Namespace: "3scale"}, ID: "20261122t050000z-5f3a9c01"}

func plainVerify() VerifyInput {
	return VerifyInput{
		Verification: aVerification, Mover: Mover{Image: "registry.example.com/threescale-backup:v1", VolumePVC: "nightly-backup"}, Run: job.All,
	}
}

func fullVerify() VerifyInput {
	in := plainVerify()
	in.Run, in.ExpectRun, in.ManifestSHA256 = job.Latest, "20261122t115900z-1a2b3c4d", strings.Repeat("0123456789abcdef", 4)
	in.Settings, in.AssignsUID = fullInput().Settings, true
	return in
}

func TestVerificationNames(t *testing.T) {
	cases := map[string]struct {
		reason string
		of     Verification
		want   string
	}{
		"Short":   {"a name that fits is kept, for people to read", aVerification, "nightly-verify-5f3a9c01"},
		"Dotted":  {"a Job's name has no dots", Verification{Identity: Identity{Backup: "a.b"}, ID: "x-5f3a9c01"}, "a-b-" + digest("a.b") + "-verify-5f3a9c01"},
		"Longest": {"63 characters is what a label holds", Verification{Identity: Identity{Backup: strings.Repeat("n", 253)}, ID: "x-5f3a9c01"}, strings.Repeat("n", 38) + "-" + digest(strings.Repeat("n", 253)) + "-verify-5f3a9c01"},
		"NotOurs": {"an ID is read from a label, which others may write", Verification{Identity: Identity{Backup: "b"}, ID: strings.Repeat("9", 300)}, "b-verify-99999999999-" + digest(strings.Repeat("9", 300))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, tc.of.Name(), tc.reason)
			assert.Empty(t, validation.IsDNS1123Label(tc.of.Name()))
		})
	}
}

// TestVerifyReadsOnly: who can write to a volume can also harm what it verifies.
func TestVerifyReadsOnly(t *testing.T) {
	for name, in := range map[string]VerifyInput{"Plain": plainVerify(), "All": fullVerify()} {
		t.Run(name, func(t *testing.T) {
			pod := VerifyJob(in).Spec.Template.Spec
			assert.Len(t, pod.Volumes, 1, "it needs no key, no object and no file storage")
			assert.True(t, pod.Volumes[0].PersistentVolumeClaim.ReadOnly, "else the kubelet changes the owners of what is stored")
			assert.Len(t, pod.Containers[0].VolumeMounts, 1)
			assert.True(t, pod.Containers[0].VolumeMounts[0].ReadOnly)
			o := verifyOptions(in)
			assert.Equal(t, o.Volume, pod.Containers[0].VolumeMounts[0].MountPath)
			assert.Equal(t, o.Args(), pod.Containers[0].Args)
			assert.Equal(t, VerificationReport(in.Verification, "").Name, o.Report)
		})
	}
}

// TestVerificationSharesTheIdentity: one ServiceAccount a backup, which may
// write the one report that is to be written.
func TestVerificationSharesTheIdentity(t *testing.T) {
	assert.Equal(t, aRun.Identity, aVerification.Identity)
	assert.Equal(t, ServiceAccount(aRun.Identity).Name, VerifyJob(plainVerify()).Spec.Template.Spec.ServiceAccountName)
	assert.Equal(t, []string{"nightly-verify-5f3a9c01-report"}, Role(aVerification.Identity, VerificationReportName(aVerification)).Rules[0].ResourceNames)
}

// FuzzVerificationName: whatever a backup is called, its verifications have
// valid names that are those of no other, and of none of its runs.
func FuzzVerificationName(f *testing.F) {
	f.Add("nightly", "20261122t050000z-5f3a9c01")
	f.Add(longest("a"), "1")
	f.Add(strings.Repeat("a", 253), strings.Repeat("9", 40))
	f.Fuzz(func(t *testing.T, backup, id string) {
		if len(validation.IsDNS1123Subdomain(backup)) > 0 || len(validation.IsDNS1123Label(id)) > 0 {
			t.Skip() // no object is called so
		}
		v := Verification{Identity: Identity{Backup: backup, Namespace: "n"}, ID: id}
		assert.Empty(t, validation.IsDNS1123Label(v.Name()), v.Name())
		assert.Empty(t, validation.IsDNS1123Subdomain(VerificationReportName(v)))
		for _, value := range v.Labels() {
			assert.Empty(t, validation.IsValidLabelValue(value), value)
		}
		assert.NotEqual(t, v.Name(), Run{Identity: Identity{Backup: backup}, ID: id, Attempt: 1}.Name())
		other := v
		other.ID += "x"
		assert.NotEqual(t, v.Name(), other.Name())
		other = v
		other.Backup += "x"
		assert.NotEqual(t, v.Name(), other.Name())
	})
}
