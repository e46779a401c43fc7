package compose

import (
	"fmt"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recipients"
	"threescale.dev/backup/fn/schedule"
	"threescale.dev/backup/fn/timezone"
)

const maxTriggerBytes = 253

// checkSpec looks at each field by itself. Most is refused by the schema
// already; what gets here all the same (an older schema, `crossplane render`)
// is told the same way.
func checkSpec(c *composition) []finding {
	if c.observed.Composite.SpecError != nil {
		return findingf(v1alpha1.ReasonInvalidSpec, "%s", job.Sentence(c.observed.Composite.SpecError.Error()))
	}
	var out []finding
	add := func(field string, err error) {
		if err != nil {
			out = append(out, finding{v1alpha1.ReasonInvalidSpec, fmt.Sprintf("Spec.%s: %s", field, err)})
		}
	}
	if c.observed.Image == "" {
		out = append(out, finding{v1alpha1.ReasonInvalidSpec, "The Composition's input has no image; set input.image to the image of this function"})
	}
	add("trigger", checkTrigger(c.spec.Trigger))
	add("schedule", checkSchedule(c.spec.Schedule, c.spec.TimeZone))
	add("timeZone", checkTimeZone(c.spec.TimeZone))
	add("retention", checkRetention(c.spec.Retention))
	if c.spec.Verify != nil && c.spec.Verify.Schedule == "" {
		add("verify.schedule", fmt.Errorf("is empty; set one, or leave spec.verify out"))
	} else if c.spec.Verify != nil {
		add("verify.schedule", checkSchedule(c.spec.Verify.Schedule, c.spec.TimeZone))
	}
	if c.spec.StartingDeadlineSeconds != nil && *c.spec.StartingDeadlineSeconds < 0 {
		add("startingDeadlineSeconds", fmt.Errorf("%d is negative", *c.spec.StartingDeadlineSeconds))
	}
	add("encryption.age.recipients", checkRecipients(c.spec.Encryption))
	add("backupDestination.persistentVolumeClaim", checkVolumeFields(c.destination()))
	return out
}

func checkTrigger(trigger string) error {
	if len(trigger) > maxTriggerBytes {
		return fmt.Errorf("%d bytes are more than the %d allowed", len(trigger), maxTriggerBytes)
	}
	return nil
}

func checkSchedule(expression, timeZone string) error {
	if expression == "" {
		return nil
	}
	if checkTimeZone(timeZone) != nil {
		timeZone = "" // which is told of its own field
	}
	_, err := schedule.Parse(expression, timeZone)
	return err
}

func checkTimeZone(name string) error {
	_, err := timezone.Load(name)
	return err
}

func checkRetention(r *v1alpha1.Retention) error {
	if r == nil {
		return nil
	}
	var sum int64
	for _, keep := range []int32{r.KeepLast, r.KeepHourly, r.KeepDaily, r.KeepWeekly, r.KeepMonthly, r.KeepYearly} {
		if keep < 0 {
			return fmt.Errorf("%d is negative", keep)
		}
		sum += int64(keep)
	}
	if sum == 0 {
		return fmt.Errorf("would keep nothing; leave it out to keep everything")
	}
	return nil
}

// checkRecipients refuses whom the mover could not encrypt for.
func checkRecipients(e *v1alpha1.Encryption) error {
	if e == nil {
		return nil
	}
	if len(e.Age.Recipients) == 0 {
		return fmt.Errorf("is empty; name at least one recipient, or leave spec.encryption out")
	}
	_, err := recipients.Parse(e.Age.Recipients)
	return err
}

func checkVolumeFields(v v1alpha1.BackupVolume) error {
	if v.ClaimName != "" {
		if v.VolumeName != "" || v.Resources != nil || v.StorageClass != nil || len(v.AccessModes) > 0 {
			return fmt.Errorf("claimName names an existing PersistentVolumeClaim and goes with no other field")
		}
		return nil
	}
	if v.Resources != nil && v.Resources.Requests.Sign() <= 0 {
		return fmt.Errorf("resources.requests is %s; request more than zero", v.Resources.Requests.String())
	}
	if len(v.AccessModes) > 0 && !writable(v.AccessModes) {
		return fmt.Errorf("accessModes allow no writing; add ReadWriteOnce or ReadWriteMany")
	}
	if v.Resources == nil && v.VolumeName == "" {
		return fmt.Errorf("set resources.requests, volumeName or claimName")
	}
	return nil
}
