// Package recorded holds what a Job's description, the manifest of its run and the
// plan of a restore say in the same words. It is part of the format on disk (see
// fn/archive/README.md), where a JSON key cannot change.
package recorded

// PVC describes a PersistentVolumeClaim, so that another like it can be made. What is
// read from a volume may be anything: anybody may have written it.
type PVC struct {
	StorageClass *string  `json:"storageClassName,omitempty"`
	Size         string   `json:"size,omitempty"` // a quantity: its capacity, which may be more than its request
	AccessModes  []string `json:"accessModes,omitempty"`
}

// Cause is what started a run. Value is the trigger's text, or the slot in
// RFC 3339, in UTC.
type Cause struct {
	Kind  CauseKind `json:"kind,omitempty"`
	Value string    `json:"value,omitempty"`
}

// CauseKind is the kind of what started a run.
type CauseKind string

// Causes of a run.
const (
	// CauseCreation: the ThreeScaleBackup was created.
	CauseCreation CauseKind = "Creation"
	// CauseTrigger: spec.trigger had a new value.
	CauseTrigger CauseKind = "Trigger"
	// CauseSchedule: a slot of spec.schedule came.
	CauseSchedule CauseKind = "Schedule"
)
