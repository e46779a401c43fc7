// Package specs builds the objects of a backup and of a restore, one kind a file:
// values in, a typed object out, no client. Names and labels are decided here, so that
// whoever looks for an object asks the builder.
package specs

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	maxLabelValue = 63
	// A Job's name becomes a label value of its pods.
	maxJobName = 63
	hashLength = 8
	// The digest at the end of an ID is cut to this: whoever forges an ID must not be
	// able to break a name.
	maxDigestOfID = 20
)

// Run identifies one attempt of one run. It holds what all of its objects have in
// common.
type Run struct {
	Identity
	ID string
	// Attempt counts the snapshots of the run, from 1.
	Attempt int
}

// Name returns the name of the run's Job and helpers: a DNS label of at most
// 63 characters, made of the backup's name and the digest at the ID's end.
func (r Run) Name() string {
	suffix := "-" + digestOf(r.ID)
	if r.Attempt > 1 {
		suffix += "-" + strconv.Itoa(r.Attempt)
	}
	return jobName(r.Backup, suffix)
}

// Labels returns a fresh map with the labels of the run's objects.
func (r Run) Labels() map[string]string {
	return map[string]string{
		v1alpha1.LabelBackup:  LabelValue(r.Backup),
		v1alpha1.LabelRun:     LabelValue(r.ID),
		v1alpha1.LabelAttempt: strconv.Itoa(r.Attempt),
	}
}

// digestOf returns the digest at an ID's end.
func digestOf(id string) string {
	return shorten(id[strings.LastIndexByte(id, '-')+1:], maxDigestOfID)
}

// LabelValue returns name if it fits into a label's value, else its start and
// a digest.
func LabelValue(name string) string { return shorten(name, maxLabelValue) }

// jobName returns a DNS label that a Job can have as its name: name, and suffix at its
// end. Dots become dashes; a changed name gets a digest, so that no two collide.
func jobName(name, suffix string) string {
	label := strings.ReplaceAll(name, ".", "-")
	if label != name {
		label += "-" + digest(name)
	}
	return shorten(label, maxJobName-len(suffix)) + suffix
}

// shorten cuts name to limit characters, the last of which are then a digest.
func shorten(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	return strings.TrimRight(name[:limit-hashLength-1], "-.") + "-" + digest(name)
}

func digest(name string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:hashLength]
}
