package specs

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

const (
	volumeBucketCredentials = "bucket-credentials"
	volumeBucketCA          = "bucket-ca"
	volumeBucketProxy       = "bucket-proxy"
	volumeBucketIdentity    = "bucket-identity"

	defaultAudience = "sts.amazonaws.com"
	tokenFile       = "token"
)

// BucketOptions returns the mover's options for a bucket; prefix is where the runs are
// in it if b does not say so.
func BucketOptions(b v1alpha1.Bucket, prefix string) job.BucketOptions {
	out := job.BucketOptions{
		Provider:  string(cmp.Or(b.Provider, v1alpha1.BucketGeneric)),
		Endpoint:  b.Endpoint,
		Bucket:    b.BucketName,
		Prefix:    cmp.Or(b.Prefix, prefix),
		Region:    b.Region,
		Insecure:  b.Insecure,
		Checksums: string(cmp.Or(b.Checksums, v1alpha1.ChecksumsSHA256)),
	}
	if b.SecretRef != nil {
		out.Credentials = job.BucketCredentialsPath
	}
	if b.CertSecretRef != nil {
		out.CA = job.BucketCAPath
	}
	if b.ProxySecretRef != nil {
		out.Proxy = job.BucketProxyPath
	}
	if identity := b.WebIdentity; identity != nil {
		out.RoleARN, out.Token, out.STSEndpoint = identity.RoleARN, job.BucketTokenPath, identity.Endpoint
	}
	return out
}

// bucketMounts mounts what a Job needs for a bucket. The kubelet reads the Secrets
// themselves, so that a key that is replaced reaches a pod at work.
func bucketMounts(b v1alpha1.Bucket) []mount {
	var out []mount
	if b.SecretRef != nil {
		out = append(out, bucketMount(volumeBucketCredentials, job.BucketCredentialsPath, someOf(b.SecretRef.Name,
			"accesskey", "secretkey", "sessiontoken", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")))
	}
	if b.CertSecretRef != nil {
		out = append(out, bucketMount(volumeBucketCA, job.BucketCAPath, someOf(b.CertSecretRef.Name, "ca.crt")))
	}
	if b.ProxySecretRef != nil {
		out = append(out, bucketMount(volumeBucketProxy, job.BucketProxyPath, someOf(b.ProxySecretRef.Name, "address", "username", "password")))
	}
	if b.WebIdentity != nil {
		token := &corev1.ServiceAccountTokenProjection{Audience: cmp.Or(b.WebIdentity.Audience, defaultAudience), Path: tokenFile}
		out = append(out, bucketMount(volumeBucketIdentity, job.BucketTokenPath, corev1.VolumeProjection{ServiceAccountToken: token}))
	}
	return out
}

func bucketMount(name, path string, source corev1.VolumeProjection) mount {
	return mount{name, path, true, projected(source)}
}

// someOf projects those of the keys that a Secret has. Nothing of it is required: a pod
// whose Secret is missing would not start, and so not tell.
func someOf(secret string, keys ...string) corev1.VolumeProjection {
	items := make([]corev1.KeyToPath, 0, len(keys))
	for _, key := range keys {
		items = append(items, corev1.KeyToPath{Key: key, Path: key})
	}
	out := projection(secret, items)
	out.Secret.Optional = new(true)
	return out
}
