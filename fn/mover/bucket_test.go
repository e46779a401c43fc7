package mover

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/test/canary"
)

// folder makes a folder of files, as the kubelet mounts a Secret.
func folder(t *testing.T, data map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, value := range data {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600))
	}
	return dir
}

func place() job.BucketOptions {
	return job.BucketOptions{Endpoint: "s3.example.com", Bucket: "backups"}
}

func TestReadBucket(t *testing.T) {
	keys := archive.Credentials{AccessKey: "AKIA1", SecretKey: "a/b+c="}
	cases := map[string]struct {
		reason string
		given  func(t *testing.T, o *job.BucketOptions)
		want   archive.BucketOptions
	}{
		"Generic": {
			"most object stores have no host for each bucket",
			func(_ *testing.T, o *job.BucketOptions) {
				o.Prefix, o.Region, o.Insecure = "prod/3scale", "eu-central-1", true
			},
			archive.BucketOptions{Prefix: "prod/3scale", Region: "eu-central-1", Insecure: true, PathStyle: true},
		},
		"AWS": {"AWS has", func(_ *testing.T, o *job.BucketOptions) { o.Provider = "aws" }, archive.BucketOptions{}},
		"AWSWithADot": {
			"no certificate is for a host below a bucket with a dot",
			func(_ *testing.T, o *job.BucketOptions) { o.Provider, o.Bucket = "aws", "back.ups" },
			archive.BucketOptions{Bucket: "back.ups", PathStyle: true},
		},
		"NoChecksums": {"an object store may refuse them", func(_ *testing.T, o *job.BucketOptions) { o.Checksums = "None" }, archive.BucketOptions{PathStyle: true, NoChecksums: true}},
		"Flux": {
			"line ends behind a value are not of it", func(t *testing.T, o *job.BucketOptions) {
				o.Credentials = folder(t, map[string]string{"accesskey": "AKIA1\n", "secretkey": "a/b+c=\r\n"})
			},
			archive.BucketOptions{PathStyle: true, Credentials: keys},
		},
		"ObjectBucketClaim": {
			"so does an ObjectBucketClaim name them", func(t *testing.T, o *job.BucketOptions) {
				o.Credentials = folder(t, map[string]string{"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "a/b+c=", "AWS_SESSION_TOKEN": "t"})
			},
			archive.BucketOptions{PathStyle: true, Credentials: archive.Credentials{AccessKey: "AKIA1", SecretKey: "a/b+c=", SessionToken: "t"}},
		},
		"OneOfThemInPart": {
			"half a pair is none", func(t *testing.T, o *job.BucketOptions) {
				o.Credentials = folder(t, map[string]string{"accesskey": "other", "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "a/b+c=", "sessiontoken": "other"})
			},
			archive.BucketOptions{PathStyle: true, Credentials: keys},
		},
		"Role": {
			"the token is read when it is needed, since it expires", func(_ *testing.T, o *job.BucketOptions) {
				o.RoleARN, o.Token, o.STSEndpoint = "arn:x", job.BucketTokenPath, "https://sts.example.com"
			},
			archive.BucketOptions{PathStyle: true, Credentials: archive.Credentials{RoleARN: "arn:x", TokenFile: "/bucket/identity/token", STSEndpoint: "https://sts.example.com"}},
		},
		"RoleOfARegion": {
			"a region does not depend on another one", func(_ *testing.T, o *job.BucketOptions) {
				o.Provider, o.Region, o.RoleARN, o.Token = "aws", "eu-central-1", "arn:x", "/t"
			},
			archive.BucketOptions{Region: "eu-central-1", Credentials: archive.Credentials{RoleARN: "arn:x", TokenFile: "/t/token", STSEndpoint: "https://sts.eu-central-1.amazonaws.com"}},
		},
		"RoleInChina": {
			"its hosts have another domain", func(_ *testing.T, o *job.BucketOptions) {
				o.Provider, o.Region, o.RoleARN, o.Token = "aws", "cn-north-1", "arn:x", "/t"
			},
			archive.BucketOptions{Region: "cn-north-1", Credentials: archive.Credentials{RoleARN: "arn:x", TokenFile: "/t/token", STSEndpoint: "https://sts.cn-north-1.amazonaws.com.cn"}},
		},
		"Proxy": {
			"with its login", func(t *testing.T, o *job.BucketOptions) {
				o.Proxy = folder(t, map[string]string{"address": "http://proxy.example.com:3128\n", "username": "u", "password": "p\n"})
			},
			archive.BucketOptions{PathStyle: true, Proxy: &url.URL{Scheme: "http", Host: "proxy.example.com:3128", User: url.UserPassword("u", "p")}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			given, want := place(), tc.want
			tc.given(t, &given)
			want.Endpoint = given.Endpoint
			if want.Bucket == "" {
				want.Bucket = given.Bucket
			}
			got, _, err := readBucket(given)
			require.NoError(t, err, tc.reason)
			assert.Equal(t, want, got, tc.reason)
		})
	}
}

func TestReadBucketRefuses(t *testing.T) {
	secret := func(data map[string]string) func(*testing.T, *job.BucketOptions) {
		return func(t *testing.T, o *job.BucketOptions) { o.Credentials = folder(t, data) }
	}
	const both = "their Secret needs the keys accesskey and secretkey, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; of these it has "
	cases := map[string]struct {
		reason string
		given  func(t *testing.T, o *job.BucketOptions)
		why    string // the failure's reason
		want   string
	}{
		"NoName":        {"a prefix alone is no place", func(_ *testing.T, o *job.BucketOptions) { *o = job.BucketOptions{Prefix: "x"} }, v1alpha1.ReasonUsage, "give its endpoint and its name"},
		"Provider":      {"a typing error must not change the URLs", func(_ *testing.T, o *job.BucketOptions) { o.Provider = "gcp" }, v1alpha1.ReasonUsage, `provider "gcp"`},
		"Checksums":     {"likewise", func(_ *testing.T, o *job.BucketOptions) { o.Checksums = "none" }, v1alpha1.ReasonUsage, `checksums "none"`},
		"TwoIdentities": {"which of them signs would be a guess", func(_ *testing.T, o *job.BucketOptions) { o.Credentials, o.RoleARN, o.Token = "/c", "arn:x", "/t" }, v1alpha1.ReasonUsage, "and not both"},
		"RoleAlone":     {"a role has to be exchanged for something", func(_ *testing.T, o *job.BucketOptions) { o.RoleARN = "arn:x" }, v1alpha1.ReasonUsage, "go together"},
		"NoKeys":        {"a Secret of something else", secret(map[string]string{"password": "C4n4ry"}), v1alpha1.ReasonBucketDenied, both + "none"},
		"NoFolder":      {"nothing is mounted", func(_ *testing.T, o *job.BucketOptions) { o.Credentials = "/nonexistent" }, v1alpha1.ReasonBucketDenied, both + "none"},
		"OneKey":        {"which one is missing can be seen", secret(map[string]string{"accesskey": "C4n4ry"}), v1alpha1.ReasonBucketDenied, both + "accesskey"},
		"EmptyKey":      {"an empty value is none", secret(map[string]string{"accesskey": "C4n4ry", "secretkey": "\n"}), v1alpha1.ReasonBucketDenied, both + "accesskey"},
		"HalfOfEach":    {"the halves of two pairs are none", secret(map[string]string{"accesskey": "C4n4ry", "AWS_SECRET_ACCESS_KEY": "C4n4ry"}), v1alpha1.ReasonBucketDenied, both + "accesskey, AWS_SECRET_ACCESS_KEY"},
		"LineInAKey":    {"it would go into a header", secret(map[string]string{"accesskey": "C4n4ry\nX: y", "secretkey": "s"}), v1alpha1.ReasonBucketDenied, `the value of key "accesskey" in their Secret has a line end`},
		"ByteOrderMark": {"no object store has such a key", secret(map[string]string{"accesskey": "a", "secretkey": "\ufeffC4n4ry"}), v1alpha1.ReasonBucketDenied, `key "secretkey"`},
		"NoCA":          {"to go on without it would say something else later", func(t *testing.T, o *job.BucketOptions) { o.CA = folder(t, nil) }, v1alpha1.ReasonBucketUntrusted, "the key ca.crt of their Secret is missing"},
		"NotACA":        {"likewise", func(t *testing.T, o *job.BucketOptions) { o.CA = folder(t, map[string]string{"ca.crt": "C4n4ry"}) }, v1alpha1.ReasonBucketUntrusted, "holds no certificate in PEM"},
		"NoProxy":       {"to go around it may be forbidden", func(t *testing.T, o *job.BucketOptions) { o.Proxy = folder(t, nil) }, v1alpha1.ReasonUsage, "the key address of its Secret"},
		"ProxyWithoutAScheme": {
			"a password may be before the host", func(t *testing.T, o *job.BucketOptions) {
				o.Proxy = folder(t, map[string]string{"address": "u:C4n4ry@h:1"})
			},
			v1alpha1.ReasonUsage, "must look like http://host:port",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := place()
			tc.given(t, &o)
			_, _, err := readBucket(o)
			require.ErrorContains(t, err, tc.want, tc.reason)
			assert.Equal(t, tc.why, Reason(err), tc.reason)
			assert.NotContains(t, err.Error(), "C4n4ry")
		})
	}
}

// TestCanaries: no malformed Secret of a bucket is quoted by what is said of it, be it because it cannot be used or
// because nothing answers at the address that it names.
func TestCanaries(t *testing.T) {
	kinds := map[string]struct {
		data   map[string]string
		beside []string
		into   func(o *job.BucketOptions, dir string)
	}{
		"Keys":  {map[string]string{"accesskey": "AKIA1", "secretkey": "s3cr3t"}, []string{"sessiontoken", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, func(o *job.BucketOptions, dir string) { o.Credentials = dir }},
		"CA":    {map[string]string{"ca.crt": "-----BEGIN CERTIFICATE-----\n"}, []string{"tls.key"}, func(o *job.BucketOptions, dir string) { o.CA = dir }},
		"Proxy": {map[string]string{"address": "http://127.0.0.1:1", "username": "u", "password": "p4ssw0rd"}, nil, func(o *job.BucketOptions, dir string) { o.Proxy = dir }},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			failed := 0
			data := make(map[string][]byte)
			for key, value := range kind.data {
				data[key] = []byte(value)
			}
			for _, malformed := range canary.Cases(data, kind.beside...) {
				files := make(map[string]string)
				for key, value := range malformed.Data {
					files[key] = string(value)
				}
				o := place()
				kind.into(&o, folder(t, files))
				options, secrets, err := readBucket(o)
				if err == nil {
					err = secrets.conceal(quoting(options))
				} else {
					failed++
				}
				assert.Empty(t, canary.Found(err.Error()), "%s: %v", malformed.Name, err)
			}
			assert.Positive(t, failed)
		})
	}
}

// quoting is the worst error of a connection that there could be.
func quoting(o archive.BucketOptions) error {
	texts := []string{"cannot connect", o.Credentials.AccessKey, o.Credentials.SecretKey, o.Credentials.SessionToken}
	if o.Proxy != nil {
		texts = append(texts, o.Proxy.Host, o.Proxy.String(), o.Proxy.Redacted())
	}
	return &archive.BucketError{Problem: archive.BucketUnreachable, Err: errors.New(strings.Join(texts, ": "))}
}

func TestConcealKeepsTheError(t *testing.T) {
	s := secretsOf(archive.BucketOptions{Credentials: archive.Credentials{AccessKey: "AKIA1", SecretKey: "abc"}})
	err := s.conceal(&archive.BucketError{Problem: archive.BucketDenied, Err: errors.New("AKIA1 may not abc")})
	assert.EqualError(t, err, "***** may not abc", "a word of three letters would be found everywhere")
	assert.Equal(t, v1alpha1.ReasonBucketDenied, Reason(err))
	require.NoError(t, s.conceal(nil))
	assert.Same(t, errBoom, s.conceal(errBoom), "most errors quote nothing")
}

// TestVolumeOrBucket: all that reads runs takes exactly one of the two.
func TestVolumeOrBucket(t *testing.T) {
	for name, o := range map[string]struct {
		volume string
		bucket job.BucketOptions
	}{
		"Neither": {},
		"Both":    {volume: "/v", bucket: place()},
		"InPart":  {volume: "/v", bucket: job.BucketOptions{Prefix: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, inspect := Inspect(t.Context(), job.InspectOptions{Run: "x", Volume: o.volume, BucketOptions: o.bucket}, Env{Now: time.Now})
			_, refill := Refill(t.Context(), job.RefillOptions{Run: "x", Volume: o.volume, BucketOptions: o.bucket, FileStorage: "/f"}, Env{Now: time.Now})
			_, verify := Verify(t.Context(), job.VerifyOptions{Run: "x", Volume: o.volume, BucketOptions: o.bucket}, Env{Now: time.Now})
			for _, err := range []error{inspect, refill, verify} {
				require.ErrorContains(t, err, "give a volume or a bucket, and not both")
				assert.Equal(t, job.ExitUsage, ExitCode(err))
			}
		})
	}
}
