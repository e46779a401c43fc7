package specs

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/retention"
)

// OffsiteCopy identifies one copy of a backup's runs to a bucket. It holds what its Job and
// its report have in common.
type OffsiteCopy struct {
	Identity
	// ID ends in a dash and a digest, as that of a run does.
	ID string
	// About is job.Copying as JSON.
	About string
}

// Name returns the name of the copy's Job: <backup>-copy-<digest>, a DNS label of at
// most 63 characters.
func (o OffsiteCopy) Name() string {
	return jobName(o.Backup, "-"+job.CopyCommand+"-"+digestOf(o.ID))
}

// Labels returns a fresh map with the labels of the copy's objects. None names a run,
// since a copy brings over all that are missing.
func (o OffsiteCopy) Labels() map[string]string {
	return map[string]string{
		v1alpha1.LabelBackup: LabelValue(o.Backup),
		v1alpha1.LabelCopy:   LabelValue(o.ID),
	}
}

func (o OffsiteCopy) meta(name string) metav1.ObjectMeta {
	annotations := map[string]string{v1alpha1.AnnotationCopying: o.About}
	return metav1.ObjectMeta{Name: name, Namespace: o.Namespace, Labels: o.Labels(), Annotations: annotations}
}

// CopyReportName returns the name of a copy's report.
func CopyReportName(o OffsiteCopy) string { return o.Name() + "-report" }

// CopyReport returns the ConfigMap into which the mover writes. It has no data here:
// those belong to the mover. handled is job.Handled as JSON.
func CopyReport(o OffsiteCopy, handled string) *corev1.ConfigMap {
	out := report(o.meta(CopyReportName(o)))
	out.Annotations[v1alpha1.AnnotationHandled] = handled
	return out
}

// CopyInput is what the Job of a copy is built from.
type CopyInput struct {
	Mover
	Copy OffsiteCopy
	// Run is the ID of the newest run to copy.
	Run string
	// Owner identifies the volume.
	Owner string
	// Bucket is where to; Prefix is where in it if it does not say so.
	Bucket v1alpha1.Bucket
	Prefix string
	// Mend also sends what the bucket has lost of runs that it has.
	Mend bool
	// ObjectLock; nil: the bucket's own setting counts.
	ObjectLock *v1alpha1.ObjectLock
	// Retention is applied in TimeZone to the bucket.
	Retention retention.Policy
	TimeZone  string
}

// CopyJob returns the Job that copies runs to a bucket. It has the backup volume, to
// which it cannot write, and what the bucket needs. It sees no Secret of the
// installation but what is stored of it. A copy that fails is tried again as another one.
func CopyJob(in CopyInput) *batchv1.Job {
	o := in.Copy
	in.Settings.BackoffLimit = new(int32)
	return moverJob(work{
		Mover:   in.Mover,
		meta:    o.meta(o.Name()),
		account: o.Identity.meta().Name,
		args:    copyOptions(in).Args(),
		mounts:  append([]mount{pvcMount(VolumeBackup, job.VolumePath, in.VolumePVC, true)}, bucketMounts(in.Bucket)...),
	})
}

// copyOptions returns the mover's options in the Job that is built from in.
func copyOptions(in CopyInput) job.CopyOptions {
	out := job.CopyOptions{
		Run:           in.Run,
		Volume:        job.VolumePath,
		BucketOptions: BucketOptions(in.Bucket, in.Prefix),
		Owner:         in.Owner,
		Known:         in.Known,
		Mend:          in.Mend,
		Policy:        in.Retention,
		TimeZone:      in.TimeZone,
		Namespace:     in.Copy.Namespace,
		Report:        CopyReportName(in.Copy),
	}
	if in.ObjectLock != nil {
		out.LockMode, out.LockDays = string(in.ObjectLock.Mode), in.ObjectLock.Days
	}
	return out
}
