package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/validation"

	secret "threescale.dev/backup/test/canary"
)

func TestParsePlace(t *testing.T) {
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	cases := map[string]struct {
		reason string
		text   string
		want   place
		says   string // the error; "" without one
	}{
		"Directory":      {"a path as before", "volume", place{directory: filepath.Join(here, "volume")}, ""},
		"Absolute":       {"likewise", "/mnt/volume", place{directory: "/mnt/volume"}, ""},
		"Bucket":         {"a bucket that holds nothing else", "s3://backups", place{bucket: "backups"}, ""},
		"Slash":          {"a slash at the end means nothing", "s3://backups/", place{bucket: "backups"}, ""},
		"Prefix":         {"as in a claim", "s3://backups/prod/3scale", place{bucket: "backups", prefix: "prod/3scale"}, ""},
		"PrefixSlash":    {"as tools complete it", "s3://backups/prod/", place{bucket: "backups", prefix: "prod"}, ""},
		"NoBucket":       {"it names nothing", "s3://", place{}, "name of a bucket"},
		"Capitals":       {"no object store that is named by hosts has such", "s3://Backups/a", place{}, "name of a bucket"},
		"Short":          {"likewise", "s3://ab", place{}, "name of a bucket"},
		"TwoSlashes":     {"an empty part would be another place in each tool", "s3://backups/a//b", place{}, "prefix in bucket \"backups\""},
		"Up":             {"clients clean such paths", "s3://backups/a/../b", place{}, "prefix in bucket"},
		"Dot":            {"likewise", "s3://backups/./b", place{}, "prefix in bucket"},
		"Query":          {"a version or the like is not read", "s3://backups/a?versionId=1", place{}, "prefix in bucket"},
		"Long":           {"keys end at 1024 bytes", "s3://backups/" + strings.Repeat("a", 513), place{}, "prefix in bucket"},
		"Credentials":    {"they would be seen by all users of the machine", "s3://key:" + secret.Text + "@backups/a", place{}, "AWS_ACCESS_KEY_ID"},
		"URL":            {"the object store's is another flag", "https://key:" + secret.Text + "@s3.example.com/backups", place{}, "--s3-endpoint"},
		"UnknownScheme":  {"a typing error is no directory", "s3n://backups/a", place{}, "s3://BUCKET/PREFIX"},
		"ColonInTheName": {"files may have any name", "a:b", place{directory: filepath.Join(here, "a:b")}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parsePlace(tc.text)
			if tc.says == "" {
				require.NoError(t, err, tc.reason)
				assert.Equal(t, tc.want, got, tc.reason)
				return
			}
			require.ErrorContains(t, err, tc.says, tc.reason)
			assert.Empty(t, secret.Found(err.Error()), tc.reason)
		})
	}
}

func FuzzParsePlace(f *testing.F) {
	for _, text := range []string{"volume", "s3://backups/prod/3scale/", "s3://", "s3:///a", "s3://b.c-d/../e", "s3://user:pass@backups/a", "https://s3.example.com/b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parsePlace(text)
		if err != nil {
			assert.Equal(t, place{}, got)
			return
		}
		if got.bucket == "" {
			assert.NotContains(t, text, "://")
			return
		}
		assert.Empty(t, validation.IsDNS1123Label(strings.ReplaceAll(strings.ReplaceAll(got.bucket, ".", "-"), "--", "-a")))
		assert.False(t, strings.HasPrefix(got.prefix, "/") || strings.HasSuffix(got.prefix, "/") || strings.Contains("/"+got.prefix+"/", "/../"), got.prefix)
		again, err := parsePlace(got.String())
		require.NoError(t, err)
		assert.Equal(t, got, again, "what is printed can be typed")
	})
}
