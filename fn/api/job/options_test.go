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
				Run: "20261122t115900z-1a2b3c4d", Volume: job.VolumePath, Objects: job.ObjectsPath, FileStorage: job.FileStoragePath,
				Recipient: []string{recipient, recipient}, Namespace: "3scale", Report: "nightly-1a2b3c4d-report",
			},
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
	f.Add("20261122t115900z-1a2b3c4d", "/backup", "/objects", "/system-filestorage-pvc", "age1", "age2", "3scale", "report")
	f.Add("--run=x", "/a b", "/a'b", "", "@file", "", "", "")
	f.Fuzz(func(t *testing.T, run, volume, objects, files, first, second, namespace, report string) {
		o := job.Options{Run: run, Volume: clean(volume), Objects: clean(objects), Namespace: namespace, Report: report}
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

// clean returns a path as an absolute one that is already clean.
func clean(path string) string { return filepath.Clean("/" + path) }
