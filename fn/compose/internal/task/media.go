package task

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/specs"
)

// medium is what a verification reads again.
type medium struct {
	// jobKey and reportKey begin the names of composed resources.
	jobKey, reportKey string
	// digested tells the IDs of its verifications from those of the other medium.
	digested string
	// yields: a run that is due ends the Job, which is made again after it.
	yields bool
	// condition that has the result, and its texts.
	condition, foundWell, foundDamage string

	observed func(*facts.Facts) map[string]facts.Task
	// wish is what the spec asks for; nil: nothing.
	wish func(*facts.Facts) *v1alpha1.Verify
	// handledSlot is the newest slot that objects tell of.
	handledSlot func(*facts.Facts) *time.Time
	// before is what the status of the call before says; nil: nothing. status is the
	// place in a status.
	before func(*facts.Facts) *v1alpha1.VerificationStatus
	status func(*v1alpha1.ThreeScaleBackupStatus) **v1alpha1.VerificationStatus
	// newest is the newest run on it, with the digest of its manifest; "": none.
	newest func(v1alpha1.ThreeScaleBackupStatus) (run, digest string)
	// isEmpty reports whether there is nothing to read.
	isEmpty func(*facts.Facts) bool
	// isThere reports whether a Job could have it; isRemoved whether it is none of the
	// backup's any more; isRefused whether something is wrong with it.
	isThere   func(*facts.Facts) bool
	isRemoved func(*facts.Facts) bool
	isRefused func(preflight.Findings) bool
	// location is where the spec says that it is; "": in one place alone.
	location func(*facts.Facts) string
	// clear removes a verification from a status that nobody asks for. untold is then
	// the condition.
	clear  func(*v1alpha1.ThreeScaleBackupStatus)
	untold func(*facts.Facts) *metav1.Condition
	// mount gives it to a Job.
	mount func(*facts.Facts, *specs.VerifyInput)
}

func onVolume() medium {
	return medium{
		jobKey: facts.KeyVerifyJob, reportKey: facts.KeyVerifyReport, digested: "Verification",
		condition: v1alpha1.ConditionVerified, foundWell: text.Verified, foundDamage: text.Damaged,
		observed:    func(f *facts.Facts) map[string]facts.Task { return f.Verifications },
		wish:        func(f *facts.Facts) *v1alpha1.Verify { return f.Spec.Verify },
		handledSlot: func(f *facts.Facts) *time.Time { return f.Handled.VerifySlot },
		before:      func(f *facts.Facts) *v1alpha1.VerificationStatus { return f.Status.Verification },
		status: func(s *v1alpha1.ThreeScaleBackupStatus) **v1alpha1.VerificationStatus {
			return &s.Verification
		},
		newest: func(s v1alpha1.ThreeScaleBackupStatus) (string, string) {
			if s.LastRun == nil {
				return "", ""
			}
			return s.LastRun.ID, s.LastRun.ManifestSHA256
		},
		isEmpty: func(f *facts.Facts) bool {
			return f.Status.LastRun == nil || f.Destination.PVC != nil && isReplaced(f, heldBefore(f))
		},
		isThere:   func(f *facts.Facts) bool { return f.Destination.PVC != nil },
		isRemoved: func(*facts.Facts) bool { return false },
		isRefused: func(preflight.Findings) bool { return false },
		location:  func(*facts.Facts) string { return "" },
		clear:     func(s *v1alpha1.ThreeScaleBackupStatus) { s.Verification = nil },
		untold:    func(*facts.Facts) *metav1.Condition { return nil },
		mount:     func(*facts.Facts, *specs.VerifyInput) {},
	}
}

func inBucket() medium {
	return medium{
		jobKey: facts.KeyBucketJob, reportKey: facts.KeyBucketReport, digested: "OffsiteVerification", yields: true,
		condition: v1alpha1.ConditionOffsiteVerified, foundWell: text.BucketVerified, foundDamage: text.BucketDamaged,
		observed: func(f *facts.Facts) map[string]facts.Task { return f.BucketVerifications },
		wish: func(f *facts.Facts) *v1alpha1.Verify {
			if f.Spec.Offsite == nil || f.Spec.Offsite.Verify == nil {
				return nil
			}
			return &v1alpha1.Verify{Schedule: f.Spec.Offsite.Verify.Schedule, LatestOnly: f.Spec.Offsite.Verify.LatestOnly}
		},
		handledSlot: func(f *facts.Facts) *time.Time { return f.Handled.OffsiteVerifySlot },
		before:      func(f *facts.Facts) *v1alpha1.VerificationStatus { return offsiteBefore(f).Verification },
		status: func(s *v1alpha1.ThreeScaleBackupStatus) **v1alpha1.VerificationStatus {
			if s.Offsite == nil {
				s.Offsite = &v1alpha1.OffsiteStatus{}
			}
			return &s.Offsite.Verification
		},
		newest: func(s v1alpha1.ThreeScaleBackupStatus) (string, string) {
			if s.Offsite == nil {
				return "", ""
			}
			return s.Offsite.Run, s.Offsite.ManifestSHA256
		},
		isEmpty:   func(f *facts.Facts) bool { return offsiteBefore(f).Run == "" },
		isThere:   func(f *facts.Facts) bool { return f.Spec.Offsite != nil },
		isRemoved: func(f *facts.Facts) bool { return f.Spec.Offsite == nil },
		isRefused: func(findings preflight.Findings) bool { return len(findings.Bucket) > 0 },
		location:  location,
		clear: func(s *v1alpha1.ThreeScaleBackupStatus) {
			if s.Offsite != nil {
				s.Offsite.Verification = nil
			}
		},
		untold: func(f *facts.Facts) *metav1.Condition { return removed(f, v1alpha1.ConditionOffsiteVerified) },
		mount: func(f *facts.Facts, in *specs.VerifyInput) {
			in.Bucket, in.Prefix = &f.Spec.Offsite.Bucket, f.BucketPrefix()
		},
	}
}
