package job_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

func TestVerifyOptionsRoundTrip(t *testing.T) {
	cases := map[string]struct {
		reason  string
		options job.VerifyOptions
	}{
		"Least": {"a verification needs no more", job.VerifyOptions{Run: job.All, Volume: job.VolumePath}},
		"All": {
			"every field travels", job.VerifyOptions{
				Run: job.Latest, Volume: job.VolumePath, ExpectRun: "20261122t115900z-1a2b3c4d", ManifestSHA256: "00ff",
				Namespace: "3scale", Report: "nightly-verify-5f3a9c01-report",
			},
		},
		"Bucket":         {"copies are verified by the same command", job.VerifyOptions{Run: job.All, BucketOptions: bucket()}},
		"LooksLikeAFlag": {"a value is a value", job.VerifyOptions{Run: "--help", Volume: "/v", ExpectRun: "-h", Report: "--"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := command[job.VerifyOptions](t, job.VerifyCommand, tc.options.Args())
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.options, got, tc.reason)
		})
	}
	_, err := command[job.VerifyOptions](t, job.VerifyCommand, job.VerifyOptions{Volume: "/v"}.Args())
	assert.ErrorContains(t, err, "--run")
}

// FuzzVerifyOptions: what a Job is given is what its pod reads, whatever it holds.
func FuzzVerifyOptions(f *testing.F) {
	f.Add("all", "/backup", "20261122t115900z-1a2b3c4d", "00ff", "3scale", "report")
	f.Add("--run=x", "/a b", "@file", "-", ",", "--")
	f.Fuzz(func(t *testing.T, run, volume, expected, digest, namespace, report string) {
		o := job.VerifyOptions{Run: run, Volume: clean(volume), ExpectRun: expected, ManifestSHA256: digest, Namespace: namespace, Report: report}
		if run == "" || slices.ContainsFunc(o.Args(), func(arg string) bool { return !utf8.ValidString(arg) || strings.Contains(arg, "\x00") }) {
			t.Skip() // no argument of a process
		}
		got, err := command[job.VerifyOptions](t, job.VerifyCommand, o.Args())
		require.NoError(t, err, "%q", o.Args())
		assert.Equal(t, o, got)
	})
}

// FuzzParseVerification: a report is read from an object that a tenant can write.
func FuzzParseVerification(f *testing.F) {
	f.Add(`{"run":"all","damagedRuns":["a"],"problems":["` + strings.Repeat("a", 5000) + `"],"phase":"FileStorage","filesDone":-1}`)
	f.Add(`{"reason":"` + strings.Repeat("\u00e9", 3000) + `"}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		data := map[string]string{job.KeyVerification: text, job.KeyProgress: text}
		v, err := job.ParseVerification(data)
		if v != nil {
			require.NoError(t, err)
			assert.LessOrEqual(t, max(len(v.Reason), len(v.Message)), 1024)
			assert.LessOrEqual(t, max(len(v.DamagedRuns), len(v.Problems), len(v.Warnings)), 21)
			assert.Equal(t, *v, v.Bounded(), "bounds hold")
		}
		p, err := job.ParseProgress(data)
		if p != nil {
			require.NoError(t, err)
			assert.LessOrEqual(t, len(p.Phase), 1024)
		}
	})
}

func TestParseVerification(t *testing.T) {
	full := job.Verification{
		Completed: true, StartTime: time.Unix(1, 0).UTC(), CompletionTime: time.Unix(2, 5).UTC(), Runs: 1, Files: 2, Bytes: 3,
		DamagedRuns: []string{"a"}, Problems: []string{"b"}, Warnings: []string{"c"}, Reason: "d", Message: "e",
	}
	text, err := json.Marshal(full)
	require.NoError(t, err)
	cases := map[string]struct {
		reason string
		data   map[string]string
		want   *job.Verification
		err    string
	}{
		"None":     {reason: "the pod has not reported yet", data: map[string]string{job.KeyProgress: "{}"}},
		"Full":     {reason: "nothing is lost on the way", data: map[string]string{job.KeyVerification: string(text)}, want: &full},
		"Unknown":  {reason: "a newer mover may say more", data: map[string]string{job.KeyVerification: `{"runs":1,"new":1}`}, want: &job.Verification{Runs: 1}},
		"Garbage":  {reason: "somebody else wrote it", data: map[string]string{job.KeyVerification: "x"}, err: `cannot read key "verification" of the report`},
		"TooLarge": {reason: "it is read at each call", data: map[string]string{job.KeyVerification: strings.Repeat(" ", job.MaxReportBytes+1)}, err: "allowed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := job.ParseVerification(tc.data)
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

// TestVerificationIsBounded: the worst that can be reported can be read, and says where the rest is.
func TestVerificationIsBounded(t *testing.T) {
	long := strings.Repeat("ü", 5000)
	v := job.Verification{Reason: long, Message: long}
	for i := range 1000 {
		for _, list := range []*[]string{&v.DamagedRuns, &v.Problems, &v.Warnings} {
			*list = append(*list, fmt.Sprint(i, long))
		}
	}
	bounded := v.Bounded()
	for _, list := range [][]string{bounded.DamagedRuns, bounded.Problems, bounded.Warnings} {
		require.Len(t, list, 20)
		assert.Equal(t, "and 981 more; threescale-backup verify --all lists them all", list[19])
	}
	text, err := json.Marshal(bounded)
	require.NoError(t, err)
	got, err := job.ParseVerification(map[string]string{job.KeyVerification: string(text)})
	require.NoError(t, err)
	assert.Equal(t, &bounded, got, "what was bounded stays as it is")
}
