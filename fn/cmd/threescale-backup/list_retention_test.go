package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
)

// writeRuns makes a volume with a run of each time, of which some are another
// installation's, one is damaged, and one was dated in the future.
func writeRuns(t *testing.T) string {
	t.Helper()
	root, files := t.TempDir(), t.TempDir()
	volume, err := archive.OpenVolume(root)
	require.NoError(t, err)
	defer volume.Close()
	for _, run := range []struct{ id, start, namespace string }{ // in the order of writing
		{"a-first", "2026-01-05T02:00:00Z", "3scale"},
		{"b-morning", "2026-11-21T02:00:00Z", "3scale"},
		{"c-evening", "2026-11-21T23:30:00Z", "3scale"},
		{"d-today", "2026-11-22T02:00:00Z", "3scale"},
		{"e-damaged", "2026-11-22T03:00:00Z", "3scale"},
		{"f-other", "2026-11-22T04:00:00Z", "staging"},
	} {
		start, err := time.Parse(time.RFC3339, run.start)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(files, "logo.png"), []byte(strings.Repeat(run.id, 1000)), 0o600))
		require.NoError(t, os.Chtimes(filepath.Join(files, "logo.png"), start, start))
		_, err = volume.Write(t.Context(), archive.WriteOptions{
			Run: run.id, Files: files, Now: func() time.Time { return start },
			Objects: []archive.ObjectFile{{Path: "secrets/a.json", Data: []byte("{}")}},
			Source:  archive.Source{Namespace: run.namespace, APIManager: "example"},
		})
		require.NoError(t, err)
	}
	require.NoError(t, os.Remove(filepath.Join(root, "runs/e-damaged/manifest.json")))
	return root
}

// list runs the command and returns what it prints.
func list(t *testing.T, args ...string) (string, string, int) {
	t.Helper()
	var stdout, stderr strings.Builder
	code := run(t.Context(), append([]string{"list"}, args...), &stdout, &stderr)
	return stdout.String(), stderr.String(), code
}

func TestListExplainsARetention(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   []string
	}{
		"Daily": {
			"each installation by itself; the oldest stays while a rule may keep more",
			[]string{"--retention", "keepLast=1,keepDaily=3"},
			[]string{
				"e-damaged  Damaged not complete: neither counted nor removed",
				"a-first    Complete 2026-01-05T02:00:00Z 3scale/example kept: daily 2026-01-05",
				"b-morning  Complete 2026-11-21T02:00:00Z 3scale/example would go",
				"c-evening  Complete 2026-11-21T23:30:00Z 3scale/example kept: daily 2026-11-21",
				"d-today    Complete 2026-11-22T02:00:00Z 3scale/example kept: last 1, daily 2026-11-22",
				"f-other    Complete 2026-11-22T04:00:00Z staging/example kept: last 1, daily 2026-11-22",
				"1 of 6 runs would go",
			},
		},
		"TimeZone": {
			"in Berlin half past eleven in the evening is the next day",
			[]string{"--retention=keepDaily=2", "--time-zone=Europe/Berlin"},
			[]string{
				"e-damaged  Damaged not complete: neither counted nor removed",
				"a-first    Complete 2026-01-05T03:00:00+01:00 3scale/example would go",
				"b-morning  Complete 2026-11-21T03:00:00+01:00 3scale/example kept: daily 2026-11-21",
				"c-evening  Complete 2026-11-22T00:30:00+01:00 3scale/example would go",
				"d-today    Complete 2026-11-22T03:00:00+01:00 3scale/example kept: daily 2026-11-22",
				"f-other    Complete 2026-11-22T05:00:00+01:00 staging/example kept: daily 2026-11-22",
				"2 of 6 runs would go",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			root := writeRuns(t)
			out, stderr, code := list(t, append([]string{"--volume", root}, tc.args...)...)
			require.Zero(t, code, stderr)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			require.Len(t, lines, 8)
			assert.Equal(t, "RUN STATE STARTED INSTALLATION RETENTION", strings.Join(strings.Fields(lines[0]), " "))
			for i, want := range tc.want {
				line := strings.Join(strings.Fields(lines[i+1]), " ")
				assert.True(t, strings.HasPrefix(line, strings.Join(strings.Fields(want), " ")), "%s: %s", tc.reason, line)
			}
			assert.Regexp(t, `, which would free [\d.]+Ki \(\d+ bytes\); nothing was removed$`, lines[7])
			entries, err := os.ReadDir(filepath.Join(root, "runs"))
			require.NoError(t, err)
			assert.Len(t, entries, 6, "nothing was removed")
		})
	}
}

func TestListExplainsARetentionInJSON(t *testing.T) {
	root := writeRuns(t)
	out, stderr, code := list(t, "--volume", root, "--retention", "keepLast=1", "-o", "json")
	require.Zero(t, code, stderr)
	var got struct {
		Runs []struct {
			ID       string
			State    string
			KeptBy   []string
			Goes     bool
			Manifest *struct{ Run string }
		}
		FreedBytes int64
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	var lines []string
	for _, run := range got.Runs {
		line := run.ID + " " + run.State + " " + strings.Join(run.KeptBy, ", ")
		if run.Goes {
			line += "goes"
		}
		lines = append(lines, line)
		assert.Equal(t, run.State == "Complete", run.Manifest != nil)
	}
	assert.Equal(t, []string{
		"e-damaged Damaged ", "a-first Complete goes", "b-morning Complete goes", "c-evening Complete goes", "d-today Complete last 1", "f-other Complete last 1",
	}, lines)
	assert.Greater(t, got.FreedBytes, int64(3*7000), "three logos, and more")

	empty, stderr, code := list(t, "--volume", t.TempDir(), "--retention", "keepLast=1", "-o", "json")
	require.Zero(t, code, stderr)
	assert.JSONEq(t, `{"runs": [], "freedBytes": 0}`, empty)
}

func TestListRefusesARetention(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"Name":     {"a name that is mistyped", []string{"--retention", "keepdaily=1"}, `"keepdaily=1" is none of keepLast`},
		"Nothing":  {"a claim would be refused too", []string{"--retention", "keepDaily=0"}, "would keep nothing"},
		"Negative": {"likewise", []string{"--retention", "keepDaily=-1"}, "keepDaily is not a number"},
		"TimeZone": {"likewise", []string{"--retention", "keepDaily=1", "--time-zone", "Berlin"}, `cannot find time zone "Berlin"`},
		"Alone":    {"a time zone of nothing", []string{"--time-zone", "Europe/Berlin"}, "needs --retention"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, stderr, code := list(t, append([]string{"--volume", t.TempDir()}, tc.args...)...)
			assert.Equal(t, job.ExitUsage, code, tc.reason)
			assert.Contains(t, stderr, tc.want, tc.reason)
			assert.Empty(t, out)
		})
	}
}
