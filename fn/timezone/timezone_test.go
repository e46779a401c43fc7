package timezone_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/timezone"
)

func TestLoad(t *testing.T) {
	cases := map[string]struct {
		reason string
		name   string
		want   string
		err    string
	}{
		"None":    {"UTC is the default of the schedules too", "", "UTC", ""},
		"IANA":    {"a name of the database, which the binaries hold", "Europe/Berlin", "Europe/Berlin", ""},
		"Unknown": {"a name that is mistyped", "Europe/Berlim", "", `cannot find time zone "Europe/Berlim"`},
		"Local":   {"what the machine is set to differs from pod to pod", "Local", "", "give an IANA name"},
		"Path":    {"no file is read", "../../etc/passwd", "", "cannot find time zone"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := timezone.Load(tc.name)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, got.String(), tc.reason)
		})
	}
}
