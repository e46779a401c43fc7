package specs

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// Verification identifies one verification of what a backup wrote. It holds what its
// Job and its report have in common.
type Verification struct {
	Identity
	// ID ends in a dash and a digest, as that of a run does.
	ID string
	// Bucket is where the bucket is that is read, as status.offsite.location; "": the
	// volume is read.
	Bucket string
}

// Name returns the name of the verification's Job: <backup>-verify-<digest>, a
// DNS label of at most 63 characters.
func (v Verification) Name() string {
	return jobName(v.Backup, "-"+job.VerifyCommand+"-"+digestOf(v.ID))
}

// Labels returns a fresh map with the labels of the verification's objects. None
// names a run, since a verification belongs to none.
func (v Verification) Labels() map[string]string {
	return map[string]string{
		v1alpha1.LabelBackup:       LabelValue(v.Backup),
		v1alpha1.LabelVerification: LabelValue(v.ID),
	}
}

func (v Verification) meta(name string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: name, Namespace: v.Namespace, Labels: v.Labels(), Annotations: map[string]string{}}
	if v.Bucket != "" {
		meta.Annotations[v1alpha1.AnnotationBucket] = v.Bucket
	}
	return meta
}

// VerificationReportName returns the name of a verification's report.
func VerificationReportName(v Verification) string { return v.Name() + "-report" }

// VerificationReport returns the ConfigMap into which the mover writes. It has
// no data here: those belong to the mover. handled is job.Handled as JSON.
func VerificationReport(v Verification, handled string) *corev1.ConfigMap {
	out := report(v.meta(VerificationReportName(v)))
	out.Annotations[v1alpha1.AnnotationHandled] = handled
	return out
}

// VerifyInput is what the Job of a verification is built from.
type VerifyInput struct {
	Mover
	Verification Verification
	// Run is the ID of the run that is verified, job.Latest or job.All.
	Run string
	// ExpectRun is the ID of a run whose manifest is known; "": none is.
	ExpectRun string
	// ManifestSHA256 is what the digest of that manifest must be.
	ManifestSHA256 string
	// Bucket has the runs; nil: the backup volume has. Prefix is where in it they are if
	// it does not say so.
	Bucket *v1alpha1.Bucket
	Prefix string
}

// VerifyJob returns the Job that reads stored runs again. It has the backup volume, to
// which it cannot write, or what the bucket needs, and nothing else.
func VerifyJob(in VerifyInput) *batchv1.Job {
	v := in.Verification
	mounts := []mount{pvcMount(VolumeBackup, job.VolumePath, in.VolumePVC, true)}
	if in.Bucket != nil {
		mounts = bucketMounts(*in.Bucket)
	}
	return moverJob(work{
		Mover:   in.Mover,
		meta:    v.meta(v.Name()),
		account: v.Identity.meta().Name,
		args:    verifyOptions(in).Args(),
		mounts:  mounts,
	})
}

// verifyOptions returns the mover's options in the Job that is built from in.
func verifyOptions(in VerifyInput) job.VerifyOptions {
	out := job.VerifyOptions{
		Run:            in.Run,
		Volume:         job.VolumePath,
		ExpectRun:      in.ExpectRun,
		ManifestSHA256: in.ManifestSHA256,
		Known:          in.Known,
		Namespace:      in.Verification.Namespace,
		Report:         VerificationReportName(in.Verification),
	}
	if in.Bucket != nil {
		out.Volume, out.BucketOptions = "", BucketOptions(*in.Bucket, in.Prefix)
	}
	return out
}
