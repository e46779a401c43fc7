package main

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/mover"
	secret "threescale.dev/backup/test/canary"
)

// variables are an environment.
func variables(pairs map[string]string) environment {
	return func(name string) string { return pairs[name] }
}

func TestObjectStoreOptions(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(ca, []byte("PEM"), 0o600))
	at := place{bucket: "backups", prefix: "prod"}
	cases := map[string]struct {
		reason string
		flags  objectStore
		env    map[string]string
		want   archive.BucketOptions
	}{
		"Amazon": {
			"as aws s3 does with nothing but credentials", objectStore{}, map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"},
			archive.BucketOptions{Endpoint: "s3.amazonaws.com", Credentials: archive.Credentials{AccessKey: "a", SecretKey: "s"}},
		},
		"Flags": {
			"they go before the environment", objectStore{Endpoint: "https://s3.example.com:9000", Region: "eu-1", CA: ca, Checksums: "None"},
			map[string]string{"AWS_ENDPOINT_URL_S3": "https://other", "AWS_REGION": "other", "AWS_CA_BUNDLE": "/no/such/file"},
			archive.BucketOptions{Endpoint: "s3.example.com:9000", Region: "eu-1", CA: []byte("PEM"), PathStyle: true, NoChecksums: true},
		},
		"Environment": {
			"the variables of aws' tools; that of S3 goes first", objectStore{},
			map[string]string{"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:7070/", "AWS_ENDPOINT_URL": "https://other", "AWS_DEFAULT_REGION": "eu-2", "AWS_CA_BUNDLE": ca},
			archive.BucketOptions{Endpoint: "127.0.0.1:7070", Region: "eu-2", Insecure: true, PathStyle: true, CA: []byte("PEM")},
		},
		"Host": {
			"spec.offsite.bucket.endpoint as it stands in a claim", objectStore{Endpoint: "s3.example.com:9000"}, nil,
			archive.BucketOptions{Endpoint: "s3.example.com:9000", PathStyle: true},
		},
		"AmazonHost": {
			"the bucket is in the host's name there", objectStore{Endpoint: "s3.eu-central-1.amazonaws.com"}, nil,
			archive.BucketOptions{Endpoint: "s3.eu-central-1.amazonaws.com"},
		},
		"NotAmazon": {
			"a host that only looks like it", objectStore{Endpoint: "amazonaws.com.example.org"}, nil,
			archive.BucketOptions{Endpoint: "amazonaws.com.example.org", PathStyle: true},
		},
		"SessionToken": {
			"temporary keys", objectStore{}, map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/f"},
			archive.BucketOptions{Endpoint: "s3.amazonaws.com", Credentials: archive.Credentials{AccessKey: "a", SecretKey: "s", SessionToken: "t"}},
		},
		"WebIdentity": {
			"what EKS sets in a pod", objectStore{}, map[string]string{"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/f", "AWS_ENDPOINT_URL_STS": "https://sts.example.com"},
			archive.BucketOptions{Endpoint: "s3.amazonaws.com", Credentials: archive.Credentials{RoleARN: "arn", TokenFile: "/f", STSEndpoint: "https://sts.example.com"}},
		},
		"Proxy": {
			"as curl and aws read it", objectStore{}, map[string]string{"https_proxy": "http://user:pass@proxy:3128", "HTTP_PROXY": "http://other"},
			archive.BucketOptions{Endpoint: "s3.amazonaws.com", Proxy: &url.URL{Scheme: "http", User: url.UserPassword("user", "pass"), Host: "proxy:3128"}},
		},
		"NoProxy": {
			"hosts that need none", objectStore{Endpoint: "https://s3.intern.example"}, map[string]string{"HTTPS_PROXY": "http://proxy", "NO_PROXY": ".intern.example"},
			archive.BucketOptions{Endpoint: "s3.intern.example", PathStyle: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.want.Bucket, tc.want.Prefix = at.bucket, at.prefix
			got, err := tc.flags.options(at, variables(tc.env))
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
}

// TestObjectStoreIsRefused: each says which flag or variable is wrong, and never its value.
func TestObjectStoreIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		flags  objectStore
		env    map[string]string
		says   string
	}{
		"OneKey":           {"a typing error", objectStore{}, map[string]string{"AWS_SECRET_ACCESS_KEY": secret.Text}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together"},
		"OtherKey":         {"likewise", objectStore{}, map[string]string{"AWS_ACCESS_KEY_ID": secret.Text}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together"},
		"RoleAlone":        {"no token to exchange", objectStore{}, map[string]string{"AWS_ROLE_ARN": secret.Text}, "AWS_WEB_IDENTITY_TOKEN_FILE"},
		"UserInURL":        {"arguments are seen by all", objectStore{Endpoint: "https://key:" + secret.Text + "@s3.example.com"}, nil, "--s3-endpoint: it has credentials"},
		"UserInURLBroken":  {"likewise", objectStore{Endpoint: "https://key:" + secret.Text + "%zz@s3.example.com"}, nil, "--s3-endpoint: it is malformed"},
		"Path":             {"the bucket has its own place", objectStore{Endpoint: "https://s3.example.com/backups"}, nil, "s3://BUCKET/PREFIX"},
		"Scheme":           {"another protocol", objectStore{}, map[string]string{"AWS_ENDPOINT_URL": "ftp://s3.example.com"}, "AWS_ENDPOINT_URL: it begins with neither"},
		"NoHost":           {"a variable in a script that was empty", objectStore{Endpoint: "https://:9000"}, nil, "names no host"},
		"NoCA":             {"a path that is wrong", objectStore{}, map[string]string{"AWS_CA_BUNDLE": "/no/such/file"}, "AWS_CA_BUNDLE: open /no/such/file"},
		"ProxyBroken":      {"it may hold a password", objectStore{}, map[string]string{"HTTPS_PROXY": "http://user:" + secret.Text + "%zz@proxy"}, "the proxy in HTTPS_PROXY: it is no URL"},
		"ProxyBrokenPlain": {"the variable is that of the scheme", objectStore{Endpoint: "http://s3.example.com"}, map[string]string{"HTTP_PROXY": "http://user:" + secret.Text + "@[::1"}, "the proxy in HTTP_PROXY: it is no URL"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := tc.flags.options(place{bucket: "backups"}, variables(tc.env))
			require.ErrorContains(t, err, tc.says, tc.reason)
			assert.Empty(t, secret.Found(err.Error()), tc.reason)
		})
	}
}

// TestObjectStoreTellsNoVariable: whatever is wrong in a variable, no error quotes it.
func TestObjectStoreTellsNoVariable(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
	} {
		for _, tc := range secret.Cases(map[string][]byte{name: []byte("http://user:pass@proxy.example.com:3128")}) {
			_, err := (&objectStore{}).options(place{bucket: "backups"}, variables(map[string]string{name: string(tc.Data[name])}))
			if err != nil {
				assert.Empty(t, secret.Found(err.Error()), "%s: %v", tc.Name, err)
			}
		}
	}
}

func TestAdvice(t *testing.T) {
	keys := variables(map[string]string{"AWS_ACCESS_KEY_ID": "a"})
	cases := map[string]struct {
		reason  string
		problem archive.BucketProblem
		env     environment
		says    string
	}{
		"NotFound":     {"a name is wrong", archive.BucketNotFound, keys, "--s3-endpoint or --s3-region"},
		"Keys":         {"they are wrong", archive.BucketDenied, keys, "correct AWS_ACCESS_KEY_ID"},
		"Role":         {"it is wrong", archive.BucketDenied, variables(map[string]string{"AWS_ROLE_ARN": "a"}), "correct AWS_ROLE_ARN"},
		"NoKeys":       {"the user has a profile in ~/.aws", archive.BucketDenied, variables(nil), "files in ~/.aws are not read"},
		"ClockSkew":    {"signatures have a time", archive.BucketClockSkew, keys, "set the clock"},
		"Untrusted":    {"an authority of the company", archive.BucketUntrusted, keys, "--s3-ca"},
		"Unreachable":  {"a host that is down", archive.BucketUnreachable, keys, "--s3-endpoint"},
		"Full":         {"a quota", archive.BucketFull, keys, "quota"},
		"Incompatible": {"it refuses checksums", archive.BucketIncompatible, keys, "--s3-checksums None"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			failed := &archive.BucketError{Problem: tc.problem, Err: assert.AnError}
			err := advise(failed, tc.env)
			assert.ErrorContains(t, err, assert.AnError.Error()+"; ", tc.reason)
			assert.ErrorContains(t, err, tc.says, tc.reason)
			assert.ErrorIs(t, err, failed, "the exit code is that of the cause")
		})
	}
	assert.ErrorContains(t, advise(archive.ErrOwned, keys), "--owner")
	assert.Equal(t, assert.AnError, advise(assert.AnError, keys))
}

// TestErrorsQuoteNoCredentials: an object store may answer with what it was sent.
func TestErrorsQuoteNoCredentials(t *testing.T) {
	env := variables(map[string]string{"AWS_ACCESS_KEY_ID": "key-1", "AWS_SECRET_ACCESS_KEY": "key/2", "AWS_SESSION_TOKEN": "key-3", "HTTPS_PROXY": "http://user-4:key-5@proxy.example.com"})
	err := advise(&archive.BucketError{Problem: archive.BucketDenied, Err: errors.New("key-1 key/2 key%2F2 key-3 user-4 key-5 at proxy.example.com")}, env)
	require.ErrorContains(t, err, "***** ***** ***** ***** ***** ***** at proxy.example.com; correct")
	assert.Equal(t, job.ExitNoPermission, mover.ExitCode(err))
}
