package specs

import (
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// BucketSecret is a Secret that a bucket names.
type BucketSecret struct {
	// Field of the bucket that names it.
	Field string
	Name  string
	// Keys are those that it must have: all of one of these lists.
	Keys [][]string
}

// BucketSecrets returns the Secrets that a bucket names.
func BucketSecrets(b v1alpha1.Bucket) []BucketSecret {
	var out []BucketSecret
	if b.SecretRef != nil {
		out = append(out, BucketSecret{"secretRef", b.SecretRef.Name, [][]string{{"accesskey", "secretkey"}, {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}})
	}
	if b.CertSecretRef != nil {
		out = append(out, BucketSecret{"certSecretRef", b.CertSecretRef.Name, [][]string{{"ca.crt"}}})
	}
	if b.ProxySecretRef != nil {
		out = append(out, BucketSecret{"proxySecretRef", b.ProxySecretRef.Name, [][]string{{"address"}}})
	}
	return out
}

// HasKeys reports whether a Secret with these keys can be used.
func (s BucketSecret) HasKeys(keys []string) bool {
	return slices.ContainsFunc(s.Keys, func(needed []string) bool {
		return !slices.ContainsFunc(needed, func(key string) bool { return !slices.Contains(keys, key) })
	})
}

// Needs names the keys that the Secret must have.
func (s BucketSecret) Needs() string {
	lists := make([]string, 0, len(s.Keys))
	for _, needed := range s.Keys {
		lists = append(lists, strings.Join(needed, " and "))
	}
	if len(s.Keys) == 1 && len(s.Keys[0]) == 1 {
		return "the key " + lists[0]
	}
	return "the keys " + strings.Join(lists, ", or ")
}
