package podpolicy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/podpolicy"
)

func TestCheckBucket(t *testing.T) {
	keys := v1alpha1.Bucket{Endpoint: "s3.example.com", BucketName: "backups"}
	token := func(audience, endpoint string) v1alpha1.Bucket {
		b := keys
		b.WebIdentity = &v1alpha1.WebIdentity{RoleARN: "arn:aws:iam::1:role/x", Audience: audience, Endpoint: endpoint}
		return b
	}
	buckets := func(names ...string) v1alpha1.Allow { return v1alpha1.Allow{Buckets: names} }
	const own = "https://sts.example.com"
	for name, tc := range map[string]struct {
		reason string
		allow  v1alpha1.Allow
		bucket v1alpha1.Bucket
		says   string
	}{
		"Any":         {"nothing is restricted", v1alpha1.Allow{}, keys, ""},
		"Named":       {"", buckets("s3.example.com/other", "s3.example.com/backups"), keys, ""},
		"Star":        {"all buckets of a store", buckets("s3.example.com/*"), keys, ""},
		"Other":       {"of somebody's own", buckets("s3.example.org/*"), keys, "input.allow.buckets"},
		"OtherPort":   {"another server on the same host", buckets("s3.example.com:9000/*"), keys, "input.allow.buckets"},
		"Longer":      {"a name that begins alike is another", buckets("s3.example.com/back"), keys, "input.allow.buckets"},
		"AWS":         {"what nearly all use", v1alpha1.Allow{}, token("sts.amazonaws.com", ""), ""},
		"Region":      {"", v1alpha1.Allow{}, token("", "https://sts.eu-central-1.amazonaws.com"), ""},
		"China":       {"", v1alpha1.Allow{}, token("", "https://sts.cn-north-1.amazonaws.com.cn/"), ""},
		"OwnSTS":      {"it could use the token elsewhere", v1alpha1.Allow{}, token("sts.amazonaws.com", own), "input.allow.stsEndpoints"},
		"AllowedSTS":  {"", v1alpha1.Allow{STSEndpoints: []string{own}}, token("minio", own), ""},
		"Audience":    {"the API server would take it", v1alpha1.Allow{}, token("https://kubernetes.default.svc", ""), "input.allow.stsEndpoints"},
		"LooksLike":   {"the end of a host's name is what counts", v1alpha1.Allow{}, token("", "https://sts.amazonaws.com.evil.example"), "input.allow.stsEndpoints"},
		"Plain":       {"anybody on the way could read it", v1alpha1.Allow{}, token("", "http://sts.amazonaws.com"), "input.allow.stsEndpoints"},
		"EmptyInList": {"it allows nothing", v1alpha1.Allow{STSEndpoints: []string{""}}, token("vault", ""), "input.allow.stsEndpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			got := podpolicy.CheckBucket(tc.allow, tc.bucket)
			if tc.says == "" {
				assert.Empty(t, got, tc.reason)
				return
			}
			assert.Contains(t, got, tc.says, tc.reason)
		})
	}
}
