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
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
)

func TestParseResult(t *testing.T) {
	full := job.Result{
		Run: "x", Completed: true, StartTime: time.Unix(1, 0).UTC(), CompletionTime: time.Unix(2, 5).UTC(),
		Files: 1, Bytes: 2, LinkedFiles: 3, StoredBytes: 4, ManifestSHA256: "aa", Skipped: []string{"a"}, Warnings: []string{"b"},
		Databases: []recorded.Dump{{Name: "system-database", Kind: recorded.PostgreSQL, ServerVersion: "15.8", Tool: "pg_dump 15.8", StartTime: time.Unix(1, 0).UTC(), CompletionTime: time.Unix(2, 0).UTC(), Bytes: 5, Keys: 6}},
	}
	text, err := json.Marshal(full)
	require.NoError(t, err)
	cases := map[string]struct {
		reason string
		data   map[string]string
		want   *job.Result
		err    string
	}{
		"None":       {reason: "the pod has not reported yet", data: nil},
		"Empty":      {reason: "likewise", data: map[string]string{job.KeyResult: ""}},
		"OtherKey":   {reason: "progress is no result", data: map[string]string{job.KeyProgress: string(text)}},
		"Full":       {reason: "nothing is lost on the way", data: map[string]string{job.KeyResult: string(text)}, want: &full},
		"OtherRun":   {reason: "a result is of the run that it names", data: map[string]string{job.KeyResult: `{"run":"y","completed":true}`}},
		"NoRun":      {reason: "one that names none is of none", data: map[string]string{job.KeyResult: `{"completed":true}`}},
		"Unknown":    {reason: "a newer mover may say more", data: map[string]string{job.KeyResult: `{"run":"x","new":1}`}, want: &job.Result{Run: "x"}},
		"Garbage":    {reason: "somebody else wrote it", data: map[string]string{job.KeyResult: "x"}, err: `cannot read key "result" of the report`},
		"WrongType":  {reason: "likewise", data: map[string]string{job.KeyResult: `{"run":1}`}, err: "cannot read"},
		"Trailing":   {reason: "a report is one value", data: map[string]string{job.KeyResult: `{"run":"x"}{"run":"x"}`}, err: "cannot read"},
		"TooLarge":   {reason: "it is read at each call", data: map[string]string{job.KeyResult: strings.Repeat(" ", job.MaxReportBytes) + string(text)}, err: "more than the 262144 allowed"},
		"LongNumber": {reason: "no overflow", data: map[string]string{job.KeyResult: `{"run":"x","bytes":99999999999999999999}`}, err: "cannot read"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := job.ParseResult(tc.data, "x")
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err, tc.reason)
				return
			}
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

// TestDumpsAreBounded: a list of dumps goes into the status as it is.
func TestDumpsAreBounded(t *testing.T) {
	long := recorded.Dump{Name: strings.Repeat("n", 2000), Kind: "a\nb", ServerVersion: strings.Repeat("v", 2000), Tool: strings.Repeat("t", 2000)}
	text, err := json.Marshal(job.Result{Run: "x", Databases: slices.Repeat([]recorded.Dump{long}, 30)})
	require.NoError(t, err)
	got, err := job.ParseResult(map[string]string{job.KeyResult: string(text)}, "x")
	require.NoError(t, err)
	require.Len(t, got.Databases, 20)
	for _, d := range got.Databases {
		assert.Equal(t, []int{1024, 1024, 1024}, []int{len(d.Name), len(d.ServerVersion), len(d.Tool)})
		assert.NotContains(t, string(d.Kind), "\n")
	}
}

func TestParseProgress(t *testing.T) {
	got, err := job.ParseProgress(map[string]string{job.KeyProgress: `{"phase":"FileStorage","filesDone":1,"filesTotal":2,"bytesDone":3,"bytesTotal":4}`})
	require.NoError(t, err)
	assert.Equal(t, &v1alpha1.Progress{Phase: "FileStorage", FilesDone: 1, FilesTotal: 2, BytesDone: 3, BytesTotal: 4}, got)
	got, err = job.ParseProgress(map[string]string{job.KeyResult: `{}`})
	require.NoError(t, err)
	assert.Nil(t, got)
	_, err = job.ParseProgress(map[string]string{job.KeyProgress: `[]`})
	assert.Error(t, err)
}

func TestBounded(t *testing.T) {
	list := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprint(i))
		}
		return out
	}
	for _, n := range []int{0, 1, 19, 20} {
		assert.Equal(t, list(n), job.Bounded(list(n)), "%d fit", n)
	}
	for _, n := range []int{21, 1000} {
		got := job.Bounded(list(n))
		require.Len(t, got, 20)
		assert.Equal(t, list(19), got[:19])
		assert.Equal(t, fmt.Sprintf("and %d more; the run's manifest.json lists them all", n-19), got[19], "none is forgotten")
	}
	assert.Equal(t, "and 11 more", job.BoundedIDs(list(30))[19], "no manifest lists the runs that were removed")
	long := job.Bounded([]string{strings.Repeat("ä", 4000)})
	assert.LessOrEqual(t, len(long[0]), 1024)
	assert.True(t, utf8.ValidString(long[0]))
	assert.True(t, strings.HasSuffix(long[0], "..."))
	once := job.Bounded(list(1000))
	assert.Equal(t, once, job.Bounded(once), "bounded twice is bounded once")
	input := list(30)
	job.Bounded(input)
	assert.Equal(t, list(30), input, "the list is left as it is")
}

func TestRunID(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	id := job.RunID(time.Date(2026, 11, 22, 3, 0, 0, 0, berlin), "1a2b3c4dffff")
	assert.Equal(t, "20261122t020000z-1a2b3c4d", id, "in UTC, whatever the zone")
	assert.True(t, job.IsRunID(id))
	assert.True(t, job.IsRunID("trigger-1a2b3c4d5e6f"))
	for _, text := range []string{
		"", "-", "trigger-", "trigger-1a2b3c4d5e6", "trigger-1A2B3C4D5E6F", "20261122t020000z-1a2b3c4", id + "\n", "\n" + id, id + "x", "../" + id, "x" + id,
	} {
		assert.False(t, job.IsRunID(text), "%q", text)
	}
}

// FuzzParseResult: a report is read from an object that a tenant can write.
func FuzzParseResult(f *testing.F) {
	f.Add(`{"run":"x","completed":true,"skipped":["a"]}`)
	f.Add(`{"run":"x","message":"` + strings.Repeat("a", 5000) + `"}`)
	f.Add(`{"run":"x","startTime":"` + strings.Repeat("2", 5000) + `"}`)
	f.Add(`{"run":"x","databases":[` + strings.Repeat(`{"name":"`+strings.Repeat("a", 2000)+`","kind":"\n","bytes":-1},`, 30) + `{}]}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		data := map[string]string{job.KeyResult: text, job.KeyProgress: text}
		result, err := job.ParseResult(data, "x")
		if err != nil {
			assert.Nil(t, result)
			assert.Less(t, len(err.Error()), 2048, "an error becomes a condition's message")
		}
		if result != nil {
			assert.Equal(t, "x", result.Run)
			for _, text := range []string{result.Reason, result.Message, result.ManifestSHA256} {
				assert.LessOrEqual(t, len(text), 1024)
			}
			assert.LessOrEqual(t, len(result.Skipped), 20)
			assert.LessOrEqual(t, len(result.Warnings), 20)
			assert.LessOrEqual(t, len(result.Databases), 20)
			for _, d := range result.Databases {
				for _, text := range []string{d.Name, string(d.Kind), d.ServerVersion, d.Tool} {
					assert.LessOrEqual(t, len(text), 1024)
				}
			}
		}
		progress, err := job.ParseProgress(data)
		if err != nil {
			assert.Nil(t, progress)
		}
		if progress != nil {
			assert.LessOrEqual(t, len(progress.Phase), 1024)
		}
	})
}
