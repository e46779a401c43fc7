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
	"threescale.dev/backup/fn/retention"
)

func TestCopyOptionsRoundTrip(t *testing.T) {
	least := job.CopyOptions{Run: "x", Volume: job.VolumePath, Owner: "o"}
	cases := map[string]struct {
		reason  string
		options func(o *job.CopyOptions)
	}{
		"Least": {"the rest is for the mover to check, which has a report to say it in", func(*job.CopyOptions) {}},
		"All": {"every field travels", func(o *job.CopyOptions) {
			o.BucketOptions, o.LockMode, o.LockDays = bucket(), "Compliance", 30
			o.Policy = retention.Policy{KeepLast: 1, KeepHourly: 2, KeepDaily: 3, KeepWeekly: 4, KeepMonthly: 5, KeepYearly: 6}
			o.TimeZone, o.Namespace, o.Report = "Europe/Berlin", "3scale", "nightly-copy-5f3a9c01-report"
		}},
		"LooksLikeAFlag": {"a value is a value", func(o *job.CopyOptions) { o.Run, o.Owner, o.Prefix = "--help", "-o", "--" }},
		"Separators":     {"nothing is split", func(o *job.CopyOptions) { o.Owner, o.Endpoint = "a,b=c d", "h:1" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := least
			tc.options(&want)
			got, err := command[job.CopyOptions](t, job.CopyCommand, want.Args())
			require.NoError(t, err, tc.reason)
			assert.Equal(t, want, got, tc.reason)
		})
	}
	for _, missing := range []job.CopyOptions{{Volume: "/v", Owner: "o"}, {Run: "x", Owner: "o"}, {Run: "x", Volume: "/v"}} {
		_, err := command[job.CopyOptions](t, job.CopyCommand, missing.Args())
		assert.ErrorContains(t, err, "missing flags", "%+v", missing)
	}
}

// FuzzCopyOptions: what a Job is given is what its pod reads, whatever it holds.
func FuzzCopyOptions(f *testing.F) {
	f.Add("20261122t115900z-1a2b3c4d", "/backup", "5d0e", "s3.example.com", "backups", "prod/3scale", "eu-central-1", "Compliance", true, int32(30), int32(7))
	f.Add("--run=x", "/a b", "@file", "-", ",", "--", "'", "\"", false, int32(-1), int32(0))
	f.Fuzz(func(t *testing.T, run, volume, owner, endpoint, name, prefix, region, mode string, insecure bool, days, last int32) {
		o := job.CopyOptions{Run: run, Volume: clean(volume), Owner: owner, LockMode: mode, LockDays: days, Policy: retention.Policy{KeepLast: last}}
		o.BucketOptions = job.BucketOptions{Endpoint: endpoint, Bucket: name, Prefix: prefix, Region: region, Insecure: insecure, Credentials: clean(name)}
		if run == "" || owner == "" || slices.ContainsFunc(o.Args(), func(arg string) bool { return !utf8.ValidString(arg) || strings.Contains(arg, "\x00") }) {
			t.Skip() // no argument of a process
		}
		got, err := command[job.CopyOptions](t, job.CopyCommand, o.Args())
		require.NoError(t, err, "%q", o.Args())
		assert.Equal(t, o, got)
	})
}

func TestParseCopyResult(t *testing.T) {
	full := job.CopyResult{
		Run: "x", Completed: true, StartTime: time.Unix(1, 0).UTC(), CompletionTime: time.Unix(2, 5).UTC(), ManifestSHA256: "aa",
		Runs: 1, Files: 2, Bytes: 3, Requests: 4, Removed: []string{"a"}, Warnings: []string{"b"}, Reason: "c", Message: "d",
	}
	text, err := json.Marshal(full)
	require.NoError(t, err)
	cases := map[string]struct {
		reason string
		data   map[string]string
		want   *job.CopyResult
		err    string
	}{
		"None":     {reason: "the pod has not reported yet", data: map[string]string{job.KeyProgress: "{}"}},
		"Full":     {reason: "nothing is lost on the way", data: map[string]string{job.KeyCopy: string(text)}, want: &full},
		"OtherRun": {reason: "a result is of the run that it names", data: map[string]string{job.KeyCopy: `{"run":"y","completed":true}`}},
		"NoRun":    {reason: "one that names none is of none", data: map[string]string{job.KeyCopy: `{"completed":true}`}},
		"Unknown":  {reason: "a newer mover may say more", data: map[string]string{job.KeyCopy: `{"run":"x","new":1}`}, want: &job.CopyResult{Run: "x"}},
		"Garbage":  {reason: "somebody else wrote it", data: map[string]string{job.KeyCopy: "x"}, err: `cannot read key "copy" of the report`},
		"TooLarge": {reason: "it is read at each call", data: map[string]string{job.KeyCopy: strings.Repeat(" ", job.MaxReportBytes) + string(text)}, err: "allowed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := job.ParseCopyResult(tc.data, "x")
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

// TestCopyResultIsBounded: the worst that can be reported can be read.
func TestCopyResultIsBounded(t *testing.T) {
	long := strings.Repeat("\x01", 5000) // each takes the most room in JSON
	r := job.CopyResult{Run: "x", Reason: long, Message: long, ManifestSHA256: long}
	for i := range 1000 {
		r.Removed, r.Warnings = append(r.Removed, fmt.Sprint(i, long)), append(r.Warnings, fmt.Sprint(i, long))
	}
	bounded := r.Bounded()
	require.Len(t, bounded.Removed, 20)
	assert.Equal(t, "and 981 more", bounded.Warnings[19])
	text, err := json.Marshal(bounded)
	require.NoError(t, err)
	got, err := job.ParseCopyResult(map[string]string{job.KeyCopy: string(text)}, "x")
	require.NoError(t, err)
	assert.Equal(t, &bounded, got, "what was bounded stays as it is")
}

// FuzzParseCopyResult: a report is read from an object that a tenant can write.
func FuzzParseCopyResult(f *testing.F) {
	f.Add(`{"run":"x","completed":true,"removed":["a"],"runs":-1}`)
	f.Add(`{"run":"x","message":"` + strings.Repeat("a", 5000) + `","warnings":["` + strings.Repeat("b", 5000) + `"]}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := job.ParseCopyResult(map[string]string{job.KeyCopy: text}, "x")
		if err != nil {
			assert.Nil(t, r)
			assert.Less(t, len(err.Error()), 2048, "an error becomes a condition's message")
		}
		if r == nil {
			return
		}
		assert.Equal(t, "x", r.Run)
		for _, list := range [][]string{{r.Reason, r.Message, r.ManifestSHA256}, r.Removed, r.Warnings} {
			assert.LessOrEqual(t, len(list), 20)
			for _, text := range list {
				assert.LessOrEqual(t, len(text), 1024)
			}
		}
		for _, n := range []int64{r.Runs, r.Files, r.Bytes, r.Requests} {
			assert.GreaterOrEqual(t, n, int64(0), "it becomes a number of a metric and of a status")
		}
	})
}
