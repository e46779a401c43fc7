package specs

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// Verification identifies one verification of a backup's volume. It holds what its
// Job and its report have in common.
type Verification struct {
	// Backup is the name of the ThreeScaleBackup (the claim's, where there is one).
	Backup string
	// Namespace of all objects.
	Namespace string
	// ID of the verification; like a run's, it ends in a dash and a digest.
	ID string
}

// Name returns the name of the verification's Job: <backup>-verify-<digest>, a
// DNS label of at most 63 characters.
func (v Verification) Name() string {
	suffix := "-" + job.VerifyCommand + "-" + digestOf(v.ID)
	return dnsLabel(v.Backup, maxJobName-len(suffix)) + suffix
}

// Labels returns a fresh map with the labels of the verification's objects. None
// names a run, since a verification belongs to none.
func (v Verification) Labels() map[string]string {
	return map[string]string{
		v1alpha1.LabelBackup:       LabelValue(v.Backup),
		v1alpha1.LabelVerification: LabelValue(v.ID),
	}
}

// Identity returns the identity of the verification's pods, which is the backup's.
func (v Verification) Identity() Identity {
	return Identity{Backup: v.Backup, Namespace: v.Namespace}
}

// VerificationReportName returns the name of a verification's report.
func VerificationReportName(v Verification) string { return v.Name() + "-report" }

// VerificationReport returns the ConfigMap into which the mover writes. It has
// no data here: those belong to the mover. handled is job.Handled as JSON.
func VerificationReport(v Verification, handled string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        VerificationReportName(v),
			Namespace:   v.Namespace,
			Labels:      v.Labels(),
			Annotations: map[string]string{v1alpha1.AnnotationHandled: handled},
		},
	}
}

// VerifyInput is what the Job of a verification is built from.
type VerifyInput struct {
	Verification Verification
	Image        string
	// VolumeClaim is the PersistentVolumeClaim of the backup volume.
	VolumeClaim string
	// Run is the ID of the run that is verified, job.Latest or job.All.
	Run string
	// ExpectRun is the ID of a run whose manifest is known; "": none is.
	ExpectRun string
	// ManifestSHA256 is what the digest of that manifest must be.
	ManifestSHA256 string
	// Known has the job.KnownManifest of each other run.
	Known    []string
	Settings v1alpha1.JobSettings
	// AssignsUID is as in JobInput.
	AssignsUID bool
}

// VerifyJob returns the Job that reads stored runs again. It has the backup
// volume and nothing else, and cannot write to it.
func VerifyJob(in VerifyInput) *batchv1.Job {
	v := in.Verification
	return moverJob(work{
		meta:           metav1.ObjectMeta{Name: v.Name(), Namespace: v.Namespace, Labels: v.Labels()},
		podLabels:      v.Labels(),
		serviceAccount: ServiceAccount(v.Identity()).Name,
		image:          in.Image,
		args:           VerifyOptions(in).Args(),
		known:          in.Known,
		mounts:         []mount{claimMount(VolumeBackup, job.VolumePath, in.VolumeClaim, true)},
		settings:       in.Settings,
		assignsUID:     in.AssignsUID,
	})
}

// VerifyOptions returns the mover's options in the Job that is built from in.
func VerifyOptions(in VerifyInput) job.VerifyOptions {
	return job.VerifyOptions{
		Run:            in.Run,
		Volume:         job.VolumePath,
		ExpectRun:      in.ExpectRun,
		ManifestSHA256: in.ManifestSHA256,
		Known:          in.Known,
		Namespace:      in.Verification.Namespace,
		Report:         VerificationReportName(in.Verification),
	}
}
