package preflight

import (
	"errors"
	"fmt"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/text"
	"threescale.dev/backup/fn/podpolicy"
	"threescale.dev/backup/fn/recipients"
	"threescale.dev/backup/fn/schedule"
	"threescale.dev/backup/fn/specs"
	"threescale.dev/backup/fn/timezone"
)

// checkSpec looks at each field by itself. The schema refuses most of this already,
// but not an older schema, and not `crossplane render`.
func checkSpec(f *facts.Facts) []text.Finding {
	if f.SpecError != nil {
		return text.Findingf(v1alpha1.ReasonInvalidSpec, "%s", job.Sentence(f.SpecError.Error()))
	}
	var out []text.Finding
	if f.Image == "" {
		out = text.Findingf(v1alpha1.ReasonInvalidSpec, text.NoImage)
	}
	return append(out, invalid(v1alpha1.ReasonInvalidSpec, []field{
		{"trigger", facts.CheckTrigger(f.Spec.Trigger)},
		{"schedule", checkSchedule(f.Spec.Schedule, f.Spec.TimeZone)},
		{"timeZone", checkTimeZone(f.Spec.TimeZone)},
		{"retention", checkRetention(f.Spec.Retention)},
		{"verify.schedule", checkVerify(f.Spec)},
		{"startingDeadlineSeconds", checkDeadline(f.Spec.StartingDeadlineSeconds)},
		{"encryption.age.recipients", checkRecipients(f.Spec.Encryption)},
		{"backupDestination.persistentVolumeClaim", checkVolumeFields(f.Destination.Wish)},
	})...)
}

// field is a field of the spec and what is wrong with it.
type field struct {
	name string
	err  error
}

// invalid tells of the fields that are wrong.
func invalid(reason string, fields []field) (out []text.Finding) {
	for _, field := range fields {
		if field.err != nil {
			out = append(out, text.Findingf(reason, text.InvalidField, field.name, field.err)...)
		}
	}
	return out
}

func checkSchedule(expression, timeZone string) error {
	if expression == "" {
		return nil
	}
	if checkTimeZone(timeZone) != nil {
		timeZone = "" // reported for the field timeZone
	}
	_, err := schedule.Parse(expression, timeZone)
	return err
}

func checkTimeZone(name string) error {
	_, err := timezone.Load(name)
	return err
}

func checkVerify(spec v1alpha1.ThreeScaleBackupSpec) error {
	switch {
	case spec.Verify == nil:
		return nil
	case spec.Verify.Schedule == "":
		return errors.New(text.NoVerifySlots)
	}
	return checkSchedule(spec.Verify.Schedule, spec.TimeZone)
}

func checkDeadline(seconds *int64) error {
	if seconds != nil && *seconds < 0 {
		return fmt.Errorf(text.Negative, *seconds)
	}
	return nil
}

func checkRetention(r *v1alpha1.Retention) error {
	if r == nil {
		return nil
	}
	var sum int64
	for _, keep := range []int32{r.KeepLast, r.KeepHourly, r.KeepDaily, r.KeepWeekly, r.KeepMonthly, r.KeepYearly} {
		if keep < 0 {
			return fmt.Errorf(text.Negative, keep)
		}
		sum += int64(keep)
	}
	if sum == 0 {
		return errors.New(text.KeepsNothing)
	}
	return nil
}

// checkRecipients refuses whom the mover could not encrypt for.
func checkRecipients(e *v1alpha1.Encryption) error {
	if e == nil {
		return nil
	}
	if len(e.Age.Recipients) == 0 {
		return errors.New(text.NoRecipient)
	}
	_, err := recipients.Parse(e.Age.Recipients)
	return err
}

func checkVolumeFields(v v1alpha1.BackupVolume) error {
	if v.ClaimName != "" {
		if v.VolumeName != "" || v.Resources != nil || v.StorageClass != nil || len(v.AccessModes) > 0 {
			return errors.New(text.NotAlone)
		}
		return nil
	}
	if v.Resources != nil && v.Resources.Requests.Sign() <= 0 {
		return fmt.Errorf(text.NoSize, v.Resources.Requests.String())
	}
	if len(v.AccessModes) > 0 && !facts.Writable(v.AccessModes) {
		return errors.New(text.NoWriting)
	}
	if v.Resources == nil && v.VolumeName == "" {
		return errors.New(text.NoDestination)
	}
	return nil
}

// checkJob refuses what spec.job may not ask for. Crossplane creates the pods, so that
// the rights of the claim's author do not limit them.
func checkJob(f *facts.Facts) []text.Finding {
	if f.InputError != nil {
		return text.Findingf(v1alpha1.ReasonInvalidSpec, text.InvalidInput, f.InputError)
	}
	if f.SpecError != nil {
		return nil // reported by checkSpec
	}
	var out []text.Finding
	for _, r := range podpolicy.Check(f.Allow, f.Namespace, specs.SettingsPod(f.Spec.Job, f.AssignsUID())) {
		do := text.JobCorrect
		if r.Leave != "" {
			do = fmt.Sprintf(text.JobLeave, r.Leave)
		}
		out = append(out, text.Findingf(v1alpha1.ReasonJobRefused, "%s", job.Sentence(fmt.Sprintf(text.JobField, r.Field, r.Problem, do)))...)
	}
	return out
}
