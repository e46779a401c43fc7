package threescale

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Keys of the Secret that configures the file storage in S3.
const (
	s3Bucket    = "AWS_BUCKET"
	s3Region    = "AWS_REGION"
	s3AccessKey = "AWS_ACCESS_KEY_ID"
	s3SecretKey = "AWS_SECRET_ACCESS_KEY" //nolint:gosec // the name of a key
	s3Role      = "AWS_ROLE_ARN"
	s3TokenFile = "AWS_WEB_IDENTITY_TOKEN_FILE" //nolint:gosec // the name of a key
	s3Hostname  = "AWS_HOSTNAME"
	s3Protocol  = "AWS_PROTOCOL"
	s3PathStyle = "AWS_PATH_STYLE"

	defaultAudience = "openshift"
)

// FileStorageKeys returns the keys of the Secret that a bucket is read from.
func FileStorageKeys() []string {
	return []string{s3Bucket, s3Region, s3AccessKey, s3SecretKey, s3Role, s3TokenFile, s3Hostname, s3Protocol, s3PathStyle}
}

// Bucket is where the file storage is when it is in S3, and how System logs in. It holds
// secrets: String, which messages show, has none.
type Bucket struct {
	Name, Region string
	Endpoint     string // host, with its port if that is not the usual one
	Insecure     bool   // HTTP without TLS
	PathStyle    bool   // the name is in the path of URLs, not in the host

	AccessKey, SecretKey string // empty with a role

	RoleARN  string // to assume with a token of a ServiceAccount; empty with keys
	Audience string // of that token
}

// String returns the endpoint and the name, without the login.
func (b Bucket) String() string { return b.Endpoint + "/" + b.Name }

// FileStorageSecret returns the name of the Secret that configures the file storage in
// S3; "" if the file storage is not in S3, or no Secret is named.
func FileStorageSecret(apiManager *unstructured.Unstructured) string {
	return text(apiManager, append(fileStorageField("simpleStorageService"), "configurationSecretRef", "name")...)
}

// FileStorageAudience returns the audience of the ServiceAccount's token that System
// exchanges for a role of the bucket; "" if it has keys.
func FileStorageAudience(apiManager *unstructured.Unstructured) string {
	sts := append(fileStorageField("simpleStorageService"), "sts")
	if enabled, _ := flag(apiManager, append(sts, "enabled")...); !enabled {
		return ""
	}
	return cmp.Or(text(apiManager, append(sts, "audience")...), defaultAudience)
}

// FileStorageBucket reads the bucket of the file storage from the data of its Secret. The
// APIManager says whether System logs in by keys, or by a role and a token of its
// ServiceAccount. Errors name each key that is wrong, and never show a value.
func FileStorageBucket(apiManager *unstructured.Unstructured, data map[string][]byte) (Bucket, error) {
	r := &bucketKeys{data: data}
	b := Bucket{Name: r.needed(s3Bucket), Region: r.region()}
	r.endpoint(&b)
	b.PathStyle = r.flag(s3PathStyle)
	if b.Audience = FileStorageAudience(apiManager); b.Audience != "" {
		b.RoleARN = r.needed(s3Role)
		r.needed(s3TokenFile) // where System's pods have the token; another pod has its own
	} else {
		b.AccessKey, b.SecretKey = r.needed(s3AccessKey), r.needed(s3SecretKey)
	}
	if len(r.wrong) > 0 {
		return Bucket{}, fmt.Errorf("cannot use Secret %q of the file storage: %w", FileStorageSecret(apiManager), errors.New(strings.Join(r.wrong, "; ")))
	}
	return b, nil
}

// bucketKeys reads keys of a Secret, and notes what is wrong with them.
type bucketKeys struct {
	data  map[string][]byte
	wrong []string
}

func (r *bucketKeys) fail(key, why string) {
	r.wrong = append(r.wrong, "key "+key+" "+why)
}

// value returns a value that can go into a request; "" if there is none.
func (r *bucketKeys) value(key string) string {
	value := string(r.data[key])
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.fail(key, "has a blank or a line end in it, or another character that it cannot have")
		return ""
	}
	return value
}

func (r *bucketKeys) needed(key string) string {
	if len(r.data[key]) == 0 {
		r.fail(key, "is missing or empty")
		return ""
	}
	return r.value(key)
}

// region becomes a part of a host's name.
func (r *bucketKeys) region() string {
	region := r.needed(s3Region)
	if strings.ContainsFunc(region, func(c rune) bool { return c != '-' && c != '_' && !isLetterOrDigit(c) }) {
		r.fail(s3Region, "has another character than letters, digits, hyphens and underscores")
	}
	return region
}

func isLetterOrDigit(c rune) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (r *bucketKeys) flag(key string) bool {
	value := r.value(key)
	if value == "" {
		return false
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		r.fail(key, "is neither true nor false")
	}
	return on
}

// endpoint reads another object store than Amazon's. System takes one only if both keys
// are there.
func (r *bucketKeys) endpoint(b *Bucket) {
	host, protocol := r.value(s3Hostname), r.value(s3Protocol)
	if host == "" || protocol == "" {
		b.Endpoint = awsEndpoint(b.Region)
		return
	}
	if protocol != "http" && protocol != "https" {
		r.fail(s3Protocol, "is neither http nor https")
	}
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || strings.HasSuffix(host, ":") {
		r.fail(s3Hostname, "is not a host, with or without a port")
	}
	b.Endpoint, b.Insecure = host, protocol == "http"
}

func awsEndpoint(region string) string {
	host := "s3." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}
