package specs

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// plainBucket is what a user must give; its other fields are left to their defaults.
func plainBucket() v1alpha1.Bucket {
	return v1alpha1.Bucket{Endpoint: "s3.example.com", BucketName: "backups", SecretRef: &meta.LocalObjectReference{Name: "bucket"}}
}

func fullBucket() v1alpha1.Bucket {
	return v1alpha1.Bucket{
		Provider: v1alpha1.BucketAWS, Endpoint: "s3.eu-central-1.amazonaws.com:443", BucketName: "backups", Prefix: "prod/3scale", Region: "eu-central-1",
		Insecure: true, Checksums: v1alpha1.ChecksumsNone,
		WebIdentity:    &v1alpha1.WebIdentity{RoleARN: "arn:aws:iam::123456789012:role/backup", Audience: "an-audience", Endpoint: "https://sts.example.com"},
		CertSecretRef:  &meta.LocalObjectReference{Name: "bucket-ca"},
		ProxySecretRef: &meta.LocalObjectReference{Name: "proxy"},
	}
}

func TestBucketOptions(t *testing.T) {
	assert.Equal(t, job.BucketOptions{
		Provider: "generic", Endpoint: "s3.example.com", Bucket: "backups", Prefix: "3scale/nightly", Checksums: "SHA256", Credentials: "/bucket/credentials",
	}, BucketOptions(plainBucket(), "3scale/nightly"), "what the schema's defaults would have filled in")
	assert.Equal(t, job.BucketOptions{
		Provider: "aws", Endpoint: "s3.eu-central-1.amazonaws.com:443", Bucket: "backups", Prefix: "prod/3scale", Region: "eu-central-1", Insecure: true, Checksums: "None",
		CA: "/bucket/ca", Proxy: "/bucket/proxy", RoleARN: "arn:aws:iam::123456789012:role/backup", Token: "/bucket/identity", STSEndpoint: "https://sts.example.com",
	}, BucketOptions(fullBucket(), "3scale/nightly"), "the user's prefix counts")
}

// TestBucketMounts: what the options name is mounted, and nothing else of a Secret.
func TestBucketMounts(t *testing.T) {
	named := func(o job.BucketOptions) []string {
		var paths []string
		for _, path := range []string{o.Credentials, o.CA, o.Proxy, o.Token} {
			if path != "" {
				paths = append(paths, path)
			}
		}
		return paths
	}
	for name, b := range map[string]v1alpha1.Bucket{"Plain": plainBucket(), "Full": fullBucket(), "Public": {}} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, m := range bucketMounts(b) {
				paths = append(paths, m.path)
				assert.True(t, m.readOnly)
				require.Len(t, m.source.Projected.Sources, 1)
				if secret := m.source.Projected.Sources[0].Secret; secret != nil {
					assert.NotEmpty(t, secret.Items, "else the whole Secret is mounted")
					assert.True(t, *secret.Optional, "a pod that does not start tells nothing")
				}
			}
			assert.Equal(t, named(BucketOptions(b, "")), paths)
		})
	}
	token := bucketMounts(fullBucket())[2].source.Projected.Sources[0].ServiceAccountToken
	assert.Equal(t, "an-audience", token.Audience)
	assert.Equal(t, "token", token.Path)
	plain := v1alpha1.Bucket{WebIdentity: &v1alpha1.WebIdentity{RoleARN: "a"}}
	assert.Equal(t, "sts.amazonaws.com", bucketMounts(plain)[0].source.Projected.Sources[0].ServiceAccountToken.Audience, "an older schema fills in nothing")
}
