package memory

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGarbage(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		live   uint64
		want   int
	}{
		"Start":    {"nothing was collected yet", 0, 100},
		"Small":    {"what a run of a few thousand files takes", 4 << 20, 100},
		"Enough":   {"up to here as usual", 8 << 20, 100},
		"Million":  {"a list of a million files", 54 << 20, 14},
		"Millions": {"to collect ever more often would take all the time", 1 << 30, 10},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, tc.want, garbageOf(tc.live), tc.reason) })
	}
}
