package job_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/recorded"
)

func TestParseInspection(t *testing.T) {
	full := job.Inspection{
		Run: "x", Completed: true, ManifestSHA256: "aa", Verified: true, Encrypted: true, StartTime: time.Unix(1, 0).UTC(),
		Source:        job.Source{Namespace: "3scale", APIManager: "example", UID: "u", ThreeScale: "2.16", WildcardDomain: "example.com"},
		FileStorage:   job.InspectedStorage{Stored: true, Files: 1, Bytes: 2, Entries: 3},
		Objects:       []job.HandoverEntry{{Kind: "Secret", Name: "system-seed", Part: 1, Pieces: 2}},
		HandoverParts: 3, Existing: job.ExistingStorage{Present: true, Empty: true, Same: true, Interrupted: true},
		FileBucket: &job.InspectedBucket{Secret: "files", Audience: "openshift"},
		Databases: []job.InspectedDatabase{{
			Name: "system-database", Kind: recorded.PostgreSQL, Dumped: true, DumpVersion: "15.18", DumpBytes: 4, Encrypted: true,
			Seen: true, ServerVersion: "16.2", Empty: true, Interrupted: true, Reason: "r", Message: "m",
		}},
		Problems: []string{"p"}, Warnings: []string{"w"},
	}
	text, err := json.Marshal(full)
	require.NoError(t, err)
	got, err := job.ParseInspection(map[string]string{job.KeyInspection: string(text)})
	require.NoError(t, err)
	assert.Equal(t, &full, got, "nothing is lost on the way")
	got, err = job.ParseInspection(map[string]string{job.KeyResult: string(text)})
	require.NoError(t, err)
	assert.Nil(t, got, "the pod has not reported yet")
	for _, garbage := range []string{"x", `{"run":1}`, string(text) + "{}", strings.Repeat(" ", job.MaxInspectionBytes) + string(text)} {
		_, err = job.ParseInspection(map[string]string{job.KeyInspection: garbage})
		assert.ErrorContains(t, err, `cannot read key "inspection" of the report`)
	}
}

func TestParseRefillResult(t *testing.T) {
	full := job.RefillResult{
		Run: "x", Completed: true, StartTime: time.Unix(1, 0).UTC(), CompletionTime: time.Unix(2, 5).UTC(), Skipped: true,
		Files: 1, Bytes: 2, WrittenFiles: 3, WrittenBytes: 4, Removed: 5, Warnings: []string{"b"},
	}
	text, err := json.Marshal(full)
	require.NoError(t, err)
	got, err := job.ParseRefillResult(map[string]string{job.KeyRefill: string(text)}, "x")
	require.NoError(t, err)
	assert.Equal(t, &full, got)
	got, err = job.ParseRefillResult(map[string]string{job.KeyRefill: string(text)}, "y")
	require.NoError(t, err)
	assert.Nil(t, got, "a result is of the run that it names")
	_, err = job.ParseRefillResult(map[string]string{job.KeyRefill: "[]"}, "x")
	assert.Error(t, err)
}

// TestLargestInspectionFits into what is read of it, and so into a ConfigMap.
func TestLargestInspectionFits(t *testing.T) {
	worst := strings.Repeat("\x01", 4<<10) // six characters in JSON
	list := make([]string, 100)
	for i := range list {
		list[i] = worst
	}
	i := job.Inspection{
		Run: worst, Reason: worst, Message: worst, ManifestSHA256: worst, Problems: list, Warnings: list,
		Source: job.Source{Namespace: worst, APIManager: worst, UID: worst, ThreeScale: worst, WildcardDomain: worst},
	}
	for range 100 {
		i.Databases = append(i.Databases, job.InspectedDatabase{Name: worst, Kind: recorded.DatabaseKind(worst), DumpVersion: worst, ServerVersion: worst, Reason: worst, Message: worst})
	}
	for range job.MaxObjects {
		i.Objects = append(i.Objects, job.HandoverEntry{Kind: "APIManager", Name: strings.Repeat("n", 253), Part: 31, Pieces: 31})
	}
	text, err := json.Marshal(i.Bounded())
	require.NoError(t, err)
	assert.Less(t, len(text), job.MaxInspectionBytes)
	got, err := job.ParseInspection(map[string]string{job.KeyInspection: string(text)})
	require.NoError(t, err)
	assert.Len(t, got.Objects, job.MaxObjects)
}

func TestHanded(t *testing.T) {
	seed := job.HandoverEntry{Kind: "Secret", Name: "system-seed", Part: 1}
	large := job.HandoverEntry{Kind: "ConfigMap", Name: "large", Part: 0, Pieces: 3}
	assert.Equal(t, "secrets.system-seed.json", seed.Key())
	assert.Equal(t, "apimanager.example.json", job.HandoverEntry{Kind: "APIManager", Name: "example"}.Key())
	parts := []map[string][]byte{{large.Key(): []byte("a")}, {large.Key(): []byte("b"), seed.Key(): []byte("{}")}, {large.Key(): []byte("c")}}
	got, err := seed.Handed(parts)
	require.NoError(t, err)
	assert.Equal(t, "{}", string(got))
	got, err = large.Handed(parts)
	require.NoError(t, err)
	assert.Equal(t, "abc", string(got), "pieces follow each other")
	for name, wrong := range map[string]job.HandoverEntry{
		"Missing":  {Kind: "Secret", Name: "system-seed", Part: 0},
		"Negative": {Kind: "Secret", Name: "system-seed", Part: -1},
		"Beyond":   {Kind: "Secret", Name: "system-seed", Part: 3},
		"TooMany":  {Kind: "ConfigMap", Name: "large", Part: 1, Pieces: 3},
		"Overflow": {Kind: "ConfigMap", Name: "large", Part: 1, Pieces: 1<<63 - 1},
	} {
		_, err := wrong.Handed(parts)
		assert.Error(t, err, name)
	}
}

// FuzzHandoverKey: each object has a key of its own, which a Secret can have.
func FuzzHandoverKey(f *testing.F) {
	f.Add("system-seed", "x.json")
	f.Add(strings.Repeat("a", 253), strings.Repeat("a", 252)+"b")
	f.Fuzz(func(t *testing.T, one, other string) {
		if len(validation.IsDNS1123Subdomain(one)) > 0 || len(validation.IsDNS1123Subdomain(other)) > 0 {
			t.Skip()
		}
		keys := make(map[string]bool)
		for _, kind := range []string{"Secret", "ConfigMap", "APIManager"} {
			for _, name := range []string{one, other} {
				key := job.HandoverEntry{Kind: kind, Name: name}.Key()
				assert.Empty(t, validation.IsConfigMapKey(key), key)
				keys[key] = true
			}
		}
		want := 6
		if one == other {
			want = 3
		}
		assert.Len(t, keys, want)
	})
}

// FuzzParseRestoreReports: a report is read from an object that a tenant can write.
func FuzzParseRestoreReports(f *testing.F) {
	f.Add(`{"run":"x","completed":true,"problems":["a"],"objects":[{"kind":"Secret","name":"` + strings.Repeat("a", 5000) + `","part":-1}]}`)
	f.Add(`{"run":"x","message":"` + strings.Repeat("a", 5000) + `","source":{"namespace":"` + strings.Repeat("b", 5000) + `"}}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		data := map[string]string{job.KeyInspection: text, job.KeyRefill: text, job.KeyLoad: text}
		i, err := job.ParseInspection(data)
		if err != nil {
			assert.Nil(t, i)
			assert.Less(t, len(err.Error()), 2048, "an error becomes a condition's message")
		}
		if i != nil {
			for _, text := range []string{i.Run, i.Reason, i.Message, i.ManifestSHA256, i.Source.Namespace, i.Source.APIManager} {
				assert.LessOrEqual(t, len(text), 1024)
			}
			assert.LessOrEqual(t, len(i.Problems), 20)
			assert.LessOrEqual(t, len(i.Warnings), 20)
			assert.LessOrEqual(t, len(i.Databases), 16)
			for _, d := range i.Databases {
				assert.LessOrEqual(t, max(len(d.Name), len(d.Kind), len(d.DumpVersion), len(d.ServerVersion), len(d.Message)), 1024)
			}
			assert.LessOrEqual(t, len(i.Objects), job.MaxObjects)
			for _, o := range i.Objects {
				assert.LessOrEqual(t, len(o.Kind)+len(o.Name), 2048)
				_, _ = o.Handed([]map[string][]byte{{}})
			}
		}
		l, err := job.ParseLoadResult(data, "x")
		if err != nil {
			assert.Nil(t, l)
		}
		if l != nil {
			assert.LessOrEqual(t, len(l.Message), 1024)
			assert.LessOrEqual(t, len(l.Databases), 16)
			for _, d := range l.Databases {
				assert.LessOrEqual(t, max(len(d.Name), len(d.Kind), len(d.ServerVersion)), 1024)
				assert.LessOrEqual(t, len(d.Warnings), 20)
			}
		}
		r, err := job.ParseRefillResult(data, "x")
		if err != nil {
			assert.Nil(t, r)
		}
		if r != nil {
			assert.LessOrEqual(t, len(r.Message), 1024)
			assert.LessOrEqual(t, len(r.Warnings), 20)
		}
	})
}
