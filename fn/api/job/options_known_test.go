package job_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

// TestAnEarlierMoverStarts: a function passes no flag to a Job that a mover of v0.1.0
// does not know, whose image a Composition may name still. What needs a bucket or
// databases needs a newer one.
func TestAnEarlierMoverStarts(t *testing.T) {
	knew := []string{
		"run", "volume", "objects", "file-storage", "recipient", "prove-links", "keep-last", "keep-hourly", "keep-daily", "keep-weekly",
		"keep-monthly", "keep-yearly", "time-zone", "namespace", "report", "expect-run", "manifest-sha256",
	}
	backup := full[job.Options]()
	require.NotEmpty(t, backup.Databases)
	backup.Databases = ""
	require.True(t, backup.FileBucket)
	backup.FileBucket, backup.FileBucketToken = false, ""
	verify := full[job.VerifyOptions]()
	require.NotZero(t, verify.BucketOptions)
	verify.BucketOptions = job.BucketOptions{}
	for _, options := range []interface{ Args() []string }{backup, verify} {
		args := options.Args()
		require.Greater(t, len(args), 5)
		for _, arg := range args[1:] {
			name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
			assert.Contains(t, knew, name)
		}
	}
}

// full has a value in each field.
func full[T any]() T {
	var options T
	fill(reflect.ValueOf(&options).Elem())
	return options
}

func fill(value reflect.Value) {
	switch value.Kind() {
	case reflect.Struct:
		for _, field := range value.Fields() {
			fill(field)
		}
	case reflect.Slice:
		value.Set(reflect.ValueOf([]string{"x"}))
	case reflect.String:
		value.SetString("x")
	case reflect.Bool:
		value.SetBool(true)
	default:
		value.SetInt(1)
	}
}

// TestKnownTravels: what is known reaches the mover by its environment.
func TestKnownTravels(t *testing.T) {
	known := []string{job.KnownManifest("20261122t020000z-1a2b3c4d", strings.Repeat("a", 64)), job.KnownManifest("20261121t020000z-1a2b3c4d", strings.Repeat("b", 64))}
	require.False(t, slices.Contains(known, ""))
	t.Setenv(job.KnownVariable, strings.Join(known, ","))
	backup, err := parse(t, full[job.Options]().Args())
	require.NoError(t, err)
	assert.Equal(t, known, backup.Known)
	verify, err := command[job.VerifyOptions](t, job.VerifyCommand, full[job.VerifyOptions]().Args())
	require.NoError(t, err)
	assert.Equal(t, known, verify.Known)
}

// FuzzKnownManifests: what is known of a run gets through the variable of a pod as it is, beside that of others, or not at
// all.
func FuzzKnownManifests(f *testing.F) {
	digest := strings.Repeat("0123456789abcdef", 4)
	f.Add("20261122t020000z-1a2b3c4d", digest, "x=y,z")
	f.Add("trigger-1a2b3c4d5e6f", digest[:63]+"A", "=")
	f.Add("20261122t020000z-1a2b3c4d,x", digest+"\n", "")
	f.Fuzz(func(t *testing.T, run, digest, variable string) {
		for id, sum := range job.KnownManifests(strings.Split(variable, ",")) {
			assert.Contains(t, variable, id+"="+sum)
		}
		text := job.KnownManifest(run, digest)
		if text == "" {
			return
		}
		assert.NotContains(t, text, "$", "Kubernetes would expand it")
		other := job.KnownManifest("trigger-000000000000", digest)
		known := job.KnownManifests(strings.Split(text+","+other, ","))
		assert.Equal(t, digest, known[run])
		assert.Len(t, known, len(slices.Compact([]string{run, "trigger-000000000000"})))
	})
}
