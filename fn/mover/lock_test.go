package mover

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
)

func TestLockOf(t *testing.T) {
	const day = 24 * time.Hour
	cases := map[string]struct {
		reason string
		mode   string
		days   int32
		want   *archive.ObjectLock
		err    string
	}{
		"None":       {reason: "the bucket's own setting counts"},
		"Governance": {reason: "some may delete", mode: "Governance", days: 1, want: &archive.ObjectLock{For: day}},
		"Compliance": {reason: "nobody may", mode: "Compliance", days: 36500, want: &archive.ObjectLock{Compliance: true, For: 36500 * day}},
		"NoDays":     {reason: "a lock of no time locks nothing", mode: "Governance", err: "for 0 days"},
		"Negative":   {reason: "likewise", mode: "Governance", days: -1, err: "for -1 days"},
		"NoMode":     {reason: "whom it stops would be a guess", days: 30, err: "neither Governance nor Compliance"},
		"OtherMode":  {reason: "S3 writes it so, and the API does not", mode: "COMPLIANCE", days: 30, err: `mode "COMPLIANCE"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := lockOf(job.CopyOptions{LockMode: tc.mode, LockDays: tc.days})
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}
