package task

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/threescale"
)

// Resources implements Work. A finished run leaves its report, its Secret copies, if
// the spec wants them, and a Job that failed.
func (r *run) Resources(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus, out map[string]runtime.Object) error {
	var errs []error
	if r.keepsReport() {
		report, err := r.report(f, after)
		out[facts.KeyReport+r.ID], errs = report, append(errs, err)
	}
	if r.InFlight() || f.Spec.SecretCopies != v1alpha1.SecretCopiesNone {
		r.keepSnapshot(f, out)
	}
	if r.InFlight() && r.next != toWait {
		errs = append(errs, r.takeSnapshot(f, out))
	}
	switch {
	case r.keepsJob():
		out[facts.KeyJob+r.key()] = r.Job.Kept
	case r.InFlight() && r.next == toWork:
		out[facts.KeyJob+r.key()] = specs.Job(r.input(f, after))
	}
	return errors.Join(errs...)
}

func (r *run) report(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) (*corev1.ConfigMap, error) {
	cause, err := json.Marshal(r.cause)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the cause of run %q: %w", r.ID, err)
	}
	handled, err := r.handled(after)
	if err != nil {
		return nil, err
	}
	report := specs.Report(r.spec(f), string(cause))
	report.Annotations[v1alpha1.AnnotationHandled] = handled
	if volume := cmp.Or(r.Note(v1alpha1.AnnotationVolume), r.volume); volume != "" {
		report.Annotations[v1alpha1.AnnotationVolume] = volume
	}
	if len(f.Readers) > 0 {
		report.Annotations[v1alpha1.AnnotationReaders] = strings.Join(f.Readers, ", ")
	}
	return report, nil
}

// input is what the Job is made of. All of the snapshot exists.
func (r *run) input(f *facts.Facts, after v1alpha1.ThreeScaleBackupStatus) specs.JobInput {
	in := specs.JobInput{
		Mover:        mover(f, after),
		Run:          r.spec(f),
		Inconsistent: r.inconsistent,
		Files:        r.held(),
		ProveLinks:   damageKnown(after),
		Dumps:        r.dumps(f),
		Ended:        ended(after),
	}
	if f.Spec.Retention != nil {
		in.Retention, in.TimeZone = retention.Policy(*f.Spec.Retention), f.Spec.TimeZone
	}
	if f.Spec.Encryption != nil {
		in.Recipients = f.Spec.Encryption.Age.Recipients
	}
	switch {
	case f.SkipsFileStorage():
	case threescale.UsesS3(f.Installation.APIManager):
		in.FileBucket = &specs.FileBucket{Audience: threescale.FileStorageAudience(f.Installation.APIManager)}
	default:
		in.FileStoragePVC = threescale.FileStoragePVCName
		if pvc := f.Installation.FileStorage; pvc == nil || specs.SingleNode(pvc.Spec.AccessModes) {
			in.FileStorageBeside = threescale.FileStoragePodSelector(threescale.Version(f.Installation.APIManager))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Copies)) {
		in.Copies = append(in.Copies, specs.Copy{
			Name:   specs.SecretCopyName(in.Run, name),
			Source: name,
			Keys:   slices.Collect(maps.Keys(r.Copies[name].Encoded)),
		})
	}
	return in
}

// damageKnown reports whether a verification found damage and no run was completed
// since. The next run then reads each stored file before it links to it.
func damageKnown(status v1alpha1.ThreeScaleBackupStatus) bool {
	v := status.Verification
	if v == nil || len(v.DamagedRuns)+len(v.Problems) == 0 {
		return false
	}
	return v.CompletionTime == nil || !slices.ContainsFunc(status.Runs, func(r v1alpha1.Run) bool {
		return r.State == v1alpha1.RunCompleted && r.StartTime != nil && r.StartTime.After(v.CompletionTime.Time)
	})
}
