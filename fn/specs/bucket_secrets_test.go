package specs

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
)

func TestBucketSecrets(t *testing.T) {
	b := fullBucket()
	b.SecretRef = &meta.LocalObjectReference{Name: "bucket"}
	secrets := BucketSecrets(b)
	require.Len(t, secrets, 3)
	assert.Empty(t, BucketSecrets(v1alpha1.Bucket{}), "a bucket that everybody may read")
	for name, tc := range map[string]struct {
		reason string
		secret BucketSecret
		keys   []string
		want   bool
	}{
		"Flux":       {"as a Flux Bucket has them", secrets[0], []string{"secretkey", "accesskey"}, true},
		"Claim":      {"as an ObjectBucketClaim makes them", secrets[0], []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}, true},
		"Session":    {"others do no harm", secrets[0], []string{"accesskey", "secretkey", "sessiontoken", "note"}, true},
		"Half":       {"a request cannot be signed by half", secrets[0], []string{"accesskey"}, false},
		"Mixed":      {"it is not known which of two is meant", secrets[0], []string{"accesskey", "AWS_SECRET_ACCESS_KEY"}, false},
		"None":       {"nothing to sign with", secrets[0], nil, false},
		"CA":         {"", secrets[1], []string{"ca.crt"}, true},
		"Client":     {"a client's certificate says nothing of the server's", secrets[1], []string{"tls.crt", "tls.key"}, false},
		"Proxy":      {"not each wants a login", secrets[2], []string{"address"}, true},
		"LoginAlone": {"to what?", secrets[2], []string{"username", "password"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, tc.secret.HasKeys(tc.keys), tc.reason)
		})
	}
	assert.Equal(t, "the keys accesskey and secretkey, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", secrets[0].Needs())
	assert.Equal(t, "the key ca.crt", secrets[1].Needs())
}

// TestBucketSecretsAreThoseMounted: what is looked for is what a pod gets.
func TestBucketSecretsAreThoseMounted(t *testing.T) {
	b := fullBucket()
	b.SecretRef, b.WebIdentity = &meta.LocalObjectReference{Name: "bucket"}, nil
	secrets, mounts := BucketSecrets(b), bucketMounts(b)
	require.Len(t, mounts, len(secrets))
	for i, secret := range secrets {
		projected := mounts[i].source.Projected.Sources[0].Secret
		assert.Equal(t, secret.Name, projected.Name)
		var keys []string
		for _, item := range projected.Items {
			keys = append(keys, item.Key)
		}
		for _, needed := range secret.Keys {
			assert.Subset(t, keys, needed)
		}
	}
}
