package threescale_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/threescale"
)

// inS3 is an APIManager whose files are in S3; sts is JSON.
func inS3(sts string) string {
	return fmt.Sprintf(`{"spec": {"system": {"fileStorage": {"simpleStorageService": {"configurationSecretRef": {"name": "s3"}, "sts": %s}}}}}`, sts)
}

func bucketData(changes map[string]string) map[string][]byte {
	data := map[string][]byte{
		"AWS_BUCKET": []byte("files"), "AWS_REGION": []byte("eu-central-1"),
		"AWS_ACCESS_KEY_ID": []byte("AKIAEXAMPLE"), "AWS_SECRET_ACCESS_KEY": []byte("hush/+="),
	}
	for key, value := range changes {
		data[key] = []byte(value)
	}
	return data
}

func TestFileStorageBucket(t *testing.T) {
	amazon := threescale.Bucket{
		Name: "files", Region: "eu-central-1", Endpoint: "s3.eu-central-1.amazonaws.com", AccessKey: "AKIAEXAMPLE", SecretKey: "hush/+=",
	}
	with := func(change func(*threescale.Bucket)) threescale.Bucket {
		b := amazon
		change(&b)
		return b
	}
	role := func(audience string) threescale.Bucket {
		return with(func(b *threescale.Bucket) {
			b.AccessKey, b.SecretKey, b.RoleARN, b.Audience = "", "", "arn:aws:iam::1:role/system", audience
		})
	}
	sts := map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/system", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/openshift/serviceaccount/token"}
	cases := map[string]struct {
		reason  string
		sts     string
		changes map[string]string
		want    threescale.Bucket
	}{
		"Amazon": {"no endpoint is that of the region", `null`, nil, amazon},
		"China": {"which has another domain in China", `null`, map[string]string{"AWS_REGION": "cn-north-1"},
			with(func(b *threescale.Bucket) { b.Region, b.Endpoint = "cn-north-1", "s3.cn-north-1.amazonaws.com.cn" })},
		"Another": {"both keys name another object store", `null`, map[string]string{"AWS_HOSTNAME": "minio.example.com:9000", "AWS_PROTOCOL": "http", "AWS_PATH_STYLE": "true"},
			with(func(b *threescale.Bucket) { b.Endpoint, b.Insecure, b.PathStyle = "minio.example.com:9000", true, true })},
		"TLS": {"with TLS", `null`, map[string]string{"AWS_HOSTNAME": "s3.example.com", "AWS_PROTOCOL": "https"},
			with(func(b *threescale.Bucket) { b.Endpoint = "s3.example.com" })},
		"OnlyHost":     {"System ignores a host without a protocol", `null`, map[string]string{"AWS_HOSTNAME": "s3.example.com"}, amazon},
		"OnlyProtocol": {"and a protocol without a host", `null`, map[string]string{"AWS_PROTOCOL": "http"}, amazon},
		"PathStyleOff": {"a flag may be off", `null`, map[string]string{"AWS_PATH_STYLE": "false"}, amazon},
		"Role":         {"the token is for openshift if nothing else is said", `{"enabled": true}`, sts, role("openshift")},
		"Audience":     {"or for another audience", `{"enabled": true, "audience": "sts.amazonaws.com"}`, sts, role("sts.amazonaws.com")},
		"RoleOff":      {"a role that is not enabled is not used", `{"enabled": false}`, sts, amazon},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := threescale.FileStorageBucket(decode(t, []byte(inS3(tc.sts))), bucketData(tc.changes))
			require.NoError(t, err, tc.reason)
			assert.Equal(t, tc.want, got, tc.reason)
		})
	}
	assert.Equal(t, "s3", threescale.FileStorageSecret(decode(t, []byte(inS3(`null`)))))
	assert.Empty(t, threescale.FileStorageSecret(decode(t, []byte(`{}`))), "files on a volume need no Secret")
	assert.Equal(t, "s3.eu-central-1.amazonaws.com/files", fmt.Sprint(amazon), "a login is not printed")
}

func TestFileStorageBucketErrors(t *testing.T) {
	const prefix = `cannot use Secret "s3" of the file storage: `
	cases := map[string]struct {
		reason, sts string
		changes     map[string]string
		want        string
	}{
		"Missing":  {"all that is missing is told at once", `null`, map[string]string{"AWS_BUCKET": "", "AWS_SECRET_ACCESS_KEY": ""}, "key AWS_BUCKET is missing or empty; key AWS_SECRET_ACCESS_KEY is missing or empty"},
		"LineEnd":  {"a line end would break a header", `null`, map[string]string{"AWS_SECRET_ACCESS_KEY": "hush\n"}, "key AWS_SECRET_ACCESS_KEY has a blank or a line end in it, or another character that it cannot have"},
		"Protocol": {"others are not spoken", `null`, map[string]string{"AWS_HOSTNAME": "hush", "AWS_PROTOCOL": "hushp"}, "key AWS_PROTOCOL is neither http nor https"},
		"URL":      {"a URL is not a host", `null`, map[string]string{"AWS_HOSTNAME": "https://hush", "AWS_PROTOCOL": "https"}, "key AWS_HOSTNAME is not a host, with or without a port"},
		"Login":    {"nor is one with a login", `null`, map[string]string{"AWS_HOSTNAME": "hush@s3", "AWS_PROTOCOL": "https"}, "key AWS_HOSTNAME is not a host, with or without a port"},
		"Port":     {"a port is a number", `null`, map[string]string{"AWS_HOSTNAME": "s3:hush", "AWS_PROTOCOL": "https"}, "key AWS_HOSTNAME is not a host, with or without a port"},
		"Region":   {"it becomes a part of a host's name", `null`, map[string]string{"AWS_REGION": "hush@example.com"}, "key AWS_REGION has another character than letters, digits, hyphens and underscores"},
		"Flag":     {"a flag is true or false", `null`, map[string]string{"AWS_PATH_STYLE": "hush"}, "key AWS_PATH_STYLE is neither true nor false"},
		"NoRole":   {"keys do not count where a role is enabled", `{"enabled": true}`, nil, "key AWS_ROLE_ARN is missing or empty; key AWS_WEB_IDENTITY_TOKEN_FILE is missing or empty"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := threescale.FileStorageBucket(decode(t, []byte(inS3(tc.sts))), bucketData(tc.changes))
			assert.EqualError(t, err, prefix+tc.want, tc.reason)
			assert.NotContains(t, err.Error(), "hush", "an error must not tell values")
		})
	}
}

// FuzzFileStorageBucket proves that what is accepted can be used as it is, and that no
// error tells a value.
func FuzzFileStorageBucket(f *testing.F) {
	f.Add("files", "eu-central-1", "minio:9000", "http", "true")
	f.Add("", "cn-north-1", "", "https", "")
	f.Add("files", "r", "[::1]:80", "https", "0")
	f.Add("files\n", "r", "a/b", "ftp", "perhaps")
	f.Fuzz(func(t *testing.T, bucket, region, host, protocol, pathStyle string) {
		const marked = "\u2063" // stands in each value, and in no message
		values := map[string]string{"AWS_BUCKET": bucket, "AWS_REGION": region, "AWS_HOSTNAME": host, "AWS_PROTOCOL": protocol, "AWS_PATH_STYLE": pathStyle}
		b, err := threescale.FileStorageBucket(decode(t, []byte(inS3(`null`))), bucketData(values))
		if err == nil {
			assert.NotEmpty(t, b.Name)
			assert.NotContains(t, b.Endpoint, "/")
			assert.NotContains(t, b.Endpoint, "@")
		}
		broken := maps.Clone(values)
		for key := range broken {
			broken[key] += marked
		}
		_, err = threescale.FileStorageBucket(decode(t, []byte(inS3(`null`))), bucketData(broken))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), marked)
	})
}
