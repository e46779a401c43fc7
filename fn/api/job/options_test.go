package job_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/retention"
)

// parse reads arguments as the mover's command line does.
func parse(t testing.TB, args []string) (job.Options, error) {
	t.Helper()
	var cli struct {
		Backup struct {
			job.Options `embed:""`
		} `cmd:""`
	}
	parser, err := kong.New(&cli, kong.Exit(func(int) { t.Fatal("a value was taken for --help") }))
	require.NoError(t, err)
	_, err = parser.Parse(args)
	return cli.Backup.Options, err
}

func TestOptionsRoundTrip(t *testing.T) {
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	cases := map[string]struct {
		reason  string
		options job.Options
	}{
		"Least": {
			"a run needs no more", job.Options{Run: "x", Volume: job.VolumePath, Objects: job.ObjectsPath},
		},
		"All": {
			"every field travels", job.Options{
				Run: "20261122t115900z-1a2b3c4d", Volume: job.VolumePath, Objects: job.ObjectsPath, FileStorage: job.FileStoragePath, FileBucket: true, FileBucketToken: job.FileBucketTokenPath,
				Databases: "/backup/.scratch/20261122t115900z-1a2b3c4d", Recipient: []string{recipient, recipient}, ProveLinks: true, Namespace: "3scale", Report: "nightly-1a2b3c4d-report",
				Policy: retention.Policy{KeepLast: 1, KeepHourly: 2, KeepDaily: 3, KeepWeekly: 4, KeepMonthly: 5, KeepYearly: 6}, TimeZone: "Europe/Berlin",
			},
		},
		"ProveLinksAndRetention": {
			"what is embedded travels too", job.Options{
				Run: "x", Volume: "/v", Objects: "/o", ProveLinks: true,
				Policy: retention.Policy{KeepLast: 7, KeepHourly: 1, KeepDaily: 14, KeepWeekly: 8, KeepMonthly: 12, KeepYearly: 3}, TimeZone: "Europe/Berlin",
			},
		},
		"RetentionInPart": {
			"rules that are not given are none", job.Options{Run: "x", Volume: "/v", Objects: "/o", Policy: retention.Policy{KeepDaily: 1}},
		},
		"NegativeCount": {
			"what a policy may be is not for the command line to say", job.Options{Run: "x", Volume: "/v", Objects: "/o", Policy: retention.Policy{KeepDaily: -1}},
		},
		"OneRecipient": {
			"a list of one", job.Options{Run: "x", Volume: "/v", Objects: "/o", Recipient: []string{recipient}},
		},
		"LooksLikeAFlag": {
			"a value is a value", job.Options{Run: "--help", Volume: "/v", Objects: "/o", Namespace: "-n", Report: "--"},
		},
		"Separators": {
			"nothing is split", job.Options{Run: "a,b=c d", Volume: "/v,w", Objects: "/o=p", Recipient: []string{"a,b", "c;d"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parse(t, tc.options.Args())
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.options, got, tc.reason)
		})
	}
}

func TestDumpOptionsRoundTrip(t *testing.T) {
	prepare := full[job.PrepareOptions]()
	prepare.Volume, prepare.Tools = job.VolumePath, job.ToolsPath
	dump := full[job.DumpOptions]()
	dump.Connections, dump.Scratch, dump.Failures, dump.Private = job.ConnectionsPath, job.ScratchPath, job.FailuresPath, job.PrivatePath
	gotPrepare, err := command[job.PrepareOptions](t, job.PrepareCommand, prepare.Args())
	require.NoError(t, err)
	assert.Equal(t, prepare, gotPrepare)
	gotDump, err := command[job.DumpOptions](t, job.DumpCommand, dump.Args())
	require.NoError(t, err)
	assert.Equal(t, dump, gotDump)
	assert.Equal(t, ".scratch/x", job.RunScratch("x"))
}

func TestOptionsRequired(t *testing.T) {
	for _, missing := range []job.Options{
		{Volume: "/v", Objects: "/o"}, {Run: "x", Objects: "/o"}, {Run: "x", Volume: "/v"},
	} {
		_, err := parse(t, missing.Args())
		assert.Error(t, err, "%+v", missing)
	}
}

// FuzzOptions: what a Job is given is what its pod reads, whatever it holds.
func FuzzOptions(f *testing.F) {
	f.Add("20261122t115900z-1a2b3c4d", "/backup", "/objects", "/system-filestorage-pvc", "age1", "age2", "3scale", "report", true, int32(7), int32(14), "Europe/Berlin")
	f.Add("--run=x", "/a b", "/a'b", "", "@file", "", "", "", false, int32(0), int32(-1), "--")
	f.Fuzz(func(t *testing.T, run, volume, objects, files, first, second, namespace, report string, prove bool, last, yearly int32, zone string) {
		o := job.Options{Run: run, Volume: clean(volume), Objects: clean(objects), Namespace: namespace, Report: report, ProveLinks: prove}
		o.Policy, o.TimeZone = retention.Policy{KeepLast: last, KeepYearly: yearly}, zone
		if files != "" {
			o.FileStorage = clean(files)
		}
		for _, recipient := range []string{first, second} {
			if recipient != "" {
				o.Recipient = append(o.Recipient, recipient)
			}
		}
		if run == "" || slices.ContainsFunc(o.Args(), func(arg string) bool { return !utf8.ValidString(arg) || strings.Contains(arg, "\x00") }) {
			t.Skip() // no argument of a process
		}
		got, err := parse(t, o.Args())
		require.NoError(t, err, "%q", o.Args())
		assert.Equal(t, o, got)
	})
}

// command reads arguments as the mover's command line does.
func command[T any](t testing.TB, name string, args []string) (T, error) {
	t.Helper()
	var into struct {
		Embedded T `embed:""`
	}
	parser, err := kong.New(&struct{}{}, kong.DynamicCommand(name, "", "", &into), kong.Exit(func(int) { t.Fatal("a value was taken for --help") }))
	require.NoError(t, err)
	_, err = parser.Parse(args)
	return into.Embedded, err
}

func TestInspectOptionsRoundTrip(t *testing.T) {
	cases := map[string]struct {
		reason  string
		options job.InspectOptions
	}{
		"Least": {"an inspection needs no more", job.InspectOptions{Run: job.Latest, Volume: job.VolumePath}},
		"All": {
			"every field travels", job.InspectOptions{
				Run: "20261122t115900z-1a2b3c4d", Volume: job.VolumePath, ManifestSHA256: "00ff", FileStorage: job.FileStoragePath,
				Databases: v1alpha1.DatabasesIfEmpty, Connections: job.ConnectionsPath, FileBucketOptions: fileBucket(),
				Identities: job.IdentitiesPath, Handover: []string{"one", "two"}, Namespace: "3scale", Report: "dr-inspect-1-report",
			},
		},
		"Bucket":         {"which of the two is given is for the mover to check, which has a report to say it in", job.InspectOptions{Run: "x", BucketOptions: bucket()}},
		"LooksLikeAFlag": {"a value is a value", job.InspectOptions{Run: "--help", Volume: "/v", Handover: []string{"-h", "a,b"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := command[job.InspectOptions](t, job.InspectCommand, tc.options.Args())
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.options, got, tc.reason)
		})
	}
	_, err := command[job.InspectOptions](t, job.InspectCommand, job.InspectOptions{Volume: "/v"}.Args())
	assert.ErrorContains(t, err, "--run")
}

func TestRefillOptionsRoundTrip(t *testing.T) {
	full := job.RefillOptions{
		Run: "20261122t115900z-1a2b3c4d", Volume: job.VolumePath, FileStorage: job.FileStoragePath, ManifestSHA256: "00ff",
		Identities: job.IdentitiesPath, Namespace: "3scale", Report: "dr-refill-1-report",
	}
	for _, existing := range []v1alpha1.ExistingPolicy{v1alpha1.ExistingFail, v1alpha1.ExistingOverwrite, v1alpha1.ExistingMirror, v1alpha1.ExistingSkip} {
		full.Existing = existing
		got, err := command[job.RefillOptions](t, job.RefillCommand, full.Args())
		require.NoError(t, err)
		assert.Equal(t, full, got)
	}
	full.Volume, full.BucketOptions = "", bucket()
	got, err := command[job.RefillOptions](t, job.RefillCommand, full.Args())
	require.NoError(t, err)
	assert.Equal(t, full, got, "from a bucket")
	full.FileStorage, full.FileBucketOptions = "", fileBucket()
	got, err = command[job.RefillOptions](t, job.RefillCommand, full.Args())
	require.NoError(t, err)
	assert.Equal(t, full, got, "into a bucket")
	for _, wrong := range []job.RefillOptions{
		{Volume: "/v", FileStorage: "/f", Existing: "Fail"}, {Run: "x", Volume: "/v", FileStorage: "/f"},
		{Run: "x", Volume: "/v", FileStorage: "/f", Existing: "Delete"},
	} {
		_, err := command[job.RefillOptions](t, job.RefillCommand, wrong.Args())
		assert.Error(t, err, "%+v", wrong)
	}
}

func fileBucket() job.FileBucketOptions {
	return job.FileBucketOptions{FileBucket: true, FileBucketToken: job.FileBucketTokenPath, FileBucketSecrets: job.FileBucketSecretsPath}
}

// bucket has a value in each field.
func bucket() job.BucketOptions {
	return job.BucketOptions{
		Provider: "generic", Endpoint: "s3.example.com:9000", Bucket: "backups", Prefix: "prod/3scale", Region: "eu-central-1", Insecure: true, Checksums: "None",
		Credentials: job.BucketCredentialsPath, CA: job.BucketCAPath, Proxy: job.BucketProxyPath,
		RoleARN: "arn:aws:iam::123456789012:role/backup", Token: job.BucketTokenPath, STSEndpoint: "https://sts.example.com",
	}
}

// FuzzRestoreOptions: what a Job is given is what its pod reads, whatever it holds.
func FuzzRestoreOptions(f *testing.F) {
	f.Add("latest", "/backup", "/system-filestorage-pvc", "00ff", "one", "two", "report")
	f.Add("--run=x", "/a b", "/a'b", "@file", "-", ",", "--")
	f.Fuzz(func(t *testing.T, run, volume, files, digest, first, second, report string) {
		i := job.InspectOptions{Run: run, Volume: clean(volume), FileStorage: clean(files), ManifestSHA256: digest, Identities: clean(first), Report: report}
		for _, name := range []string{first, second} {
			if name != "" {
				i.Handover = append(i.Handover, name)
			}
		}
		r := job.RefillOptions{Run: run, Volume: clean(volume), FileStorage: clean(files), Existing: v1alpha1.ExistingSkip, ManifestSHA256: digest, Namespace: second, Report: report}
		args := slices.Concat(i.Args(), r.Args())
		if run == "" || slices.ContainsFunc(args, func(arg string) bool { return !utf8.ValidString(arg) || strings.Contains(arg, "\x00") }) {
			t.Skip() // no argument of a process
		}
		gotInspect, err := command[job.InspectOptions](t, job.InspectCommand, i.Args())
		require.NoError(t, err, "%q", args)
		assert.Equal(t, i, gotInspect)
		gotRefill, err := command[job.RefillOptions](t, job.RefillCommand, r.Args())
		require.NoError(t, err, "%q", args)
		assert.Equal(t, r, gotRefill)
	})
}

// clean returns a path as an absolute one that is already clean.
func clean(path string) string { return filepath.Clean("/" + path) }
