package compose

import (
	"slices"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// retention is what the mover thins out the runs by once this one has verified,
// unless its report says by then that a restore reads the volume.
func (c *composition) retention() job.Retention {
	r := c.spec.Retention
	if r == nil {
		return job.Retention{}
	}
	return job.Retention{
		KeepLast:    r.KeepLast,
		KeepHourly:  r.KeepHourly,
		KeepDaily:   r.KeepDaily,
		KeepWeekly:  r.KeepWeekly,
		KeepMonthly: r.KeepMonthly,
		KeepYearly:  r.KeepYearly,
		TimeZone:    c.spec.TimeZone,
	}
}

// readers are the ThreeScaleRestores that read the backup volume, sorted. Each
// keeps its Jobs until it is done.
func (c *composition) readers() []string {
	var names []string
	for _, object := range c.answers(requireReaders) {
		names = append(names, object.label(v1alpha1.LabelRestore))
	}
	slices.Sort(names)
	return job.BoundedIDs(slices.Compact(names)) // whoever may write Jobs can write their labels
}
