package mover

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
)

// readBucket reads the folders of the options. Errors name keys of Secrets, and never hold a value.
func readBucket(o job.BucketOptions) (archive.BucketOptions, secrets, error) {
	options := archive.BucketOptions{
		Endpoint: o.Endpoint, Bucket: o.Bucket, Prefix: o.Prefix, Region: o.Region, Insecure: o.Insecure,
		PathStyle:   v1alpha1.BucketProvider(o.Provider) != v1alpha1.BucketAWS || strings.Contains(o.Bucket, "."), // no certificate is for such a host
		NoChecksums: v1alpha1.BucketChecksums(o.Checksums) == v1alpha1.ChecksumsNone,
	}
	err := checkBucket(o)
	if err == nil {
		options.Credentials, err = readCredentials(o)
	}
	if err == nil {
		options.CA, err = readCA(o.CA)
	}
	if err == nil {
		options.Proxy, err = readProxy(o.Proxy)
	}
	return options, secretsOf(options), err
}

// checkBucket checks what is no place in an object store.
func checkBucket(o job.BucketOptions) error {
	provider, checksums := cmp.Or(v1alpha1.BucketProvider(o.Provider), v1alpha1.BucketGeneric), cmp.Or(v1alpha1.BucketChecksums(o.Checksums), v1alpha1.ChecksumsSHA256)
	switch {
	case o.Endpoint == "" || o.Bucket == "":
		return usage("cannot open a bucket: give its endpoint and its name")
	case provider != v1alpha1.BucketGeneric && provider != v1alpha1.BucketAWS:
		return usage("cannot open bucket %q: provider %q is neither generic nor aws", o.Bucket, o.Provider)
	case checksums != v1alpha1.ChecksumsSHA256 && checksums != v1alpha1.ChecksumsNone:
		return usage("cannot open bucket %q: checksums %q are neither SHA256 nor None", o.Bucket, o.Checksums)
	case o.Credentials != "" && o.RoleARN != "":
		return usage("cannot open bucket %q: give static credentials or a role, and not both", o.Bucket)
	case (o.RoleARN == "") != (o.Token == ""):
		return usage("cannot open bucket %q: a role and the token that is exchanged for it go together", o.Bucket)
	}
	return nil
}

func usage(format string, args ...any) error {
	return &archive.UsageError{Err: fmt.Errorf(format, args...)}
}

// tokenName is the file of the token that is exchanged for credentials.
const tokenName = "token"

// readCredentials reads static keys, or says what a token is exchanged for. With neither, requests are not signed.
func readCredentials(o job.BucketOptions) (archive.Credentials, error) {
	switch {
	case o.RoleARN != "":
		return archive.Credentials{RoleARN: o.RoleARN, TokenFile: filepath.Join(o.Token, tokenName), STSEndpoint: stsEndpoint(o)}, nil
	case o.Credentials != "":
		return readKeys(o.Credentials)
	}
	return archive.Credentials{}, nil
}

// stsEndpoint is the security token service of the bucket's region on AWS, which answers also when that of another
// region is down; "" leaves the choice to package archive.
func stsEndpoint(o job.BucketOptions) string {
	if o.STSEndpoint != "" || v1alpha1.BucketProvider(o.Provider) != v1alpha1.BucketAWS || o.Region == "" {
		return o.STSEndpoint
	}
	host := "https://sts." + o.Region + ".amazonaws.com"
	if strings.HasPrefix(o.Region, "cn-") {
		host += ".cn"
	}
	return host
}

// keyNames are the names under which a Secret may hold the keys.
type keyNames struct{ access, secret, token string }

// readKeys reads static keys, under the names of Flux or those of an ObjectBucketClaim.
func readKeys(dir string) (archive.Credentials, error) {
	var there []string
	for _, names := range []keyNames{
		{"accesskey", "secretkey", "sessiontoken"},
		{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"},
	} {
		var keys archive.Credentials
		for _, key := range []struct {
			name string
			into *string
		}{{names.access, &keys.AccessKey}, {names.secret, &keys.SecretKey}, {names.token, &keys.SessionToken}} {
			value, err := readKey(dir, key.name)
			if err != nil {
				return archive.Credentials{}, err
			}
			if *key.into = value; value != "" {
				there = append(there, key.name)
			}
		}
		if keys.AccessKey != "" && keys.SecretKey != "" {
			return keys, nil
		}
	}
	return archive.Credentials{}, deniedf("cannot use the credentials of the bucket: their Secret needs the keys accesskey and secretkey, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; of these it has %s",
		cmp.Or(strings.Join(there, ", "), "none"))
}

// readKey reads a value that requests are signed with, and that may go into their headers; "" if there is none.
func readKey(dir, name string) (string, error) {
	value, err := readValue(dir, name)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(value, func(c byte) bool { return c < ' ' || c > '~' }) {
		return "", deniedf("cannot use the credentials of the bucket: the value of key %q in their Secret has a line end in it, or another character that no key has", name)
	}
	return string(value), nil
}

// deniedf is an error of credentials that no object store would accept.
func deniedf(format string, args ...any) error {
	return &failure{v1alpha1.ReasonBucketDenied, fmt.Errorf(format, args...)}
}

// readValue reads a file of a Secret, without line ends behind it; nil if there is none.
func readValue(dir, name string) ([]byte, error) {
	value, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read a Secret of the bucket: %w", err)
	}
	return bytes.TrimRight(value, "\r\n"), nil
}

// caName is the key of the certificates of authorities.
const caName = "ca.crt"

func readCA(dir string) ([]byte, error) {
	if dir == "" {
		return nil, nil
	}
	ca, err := readValue(dir, caName)
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return nil, &failure{v1alpha1.ReasonBucketUntrusted, fmt.Errorf("cannot use the certificates of the bucket: the key %s of their Secret is missing, or holds no certificate in PEM", caName)}
	}
	return ca, nil
}

// readProxy reads the address of a proxy, and its login if it wants one.
func readProxy(dir string) (*url.URL, error) {
	if dir == "" {
		return nil, nil
	}
	values := make(map[string]string)
	for _, name := range []string{"address", "username", "password"} {
		value, err := readValue(dir, name)
		if err != nil {
			return nil, err
		}
		values[name] = string(value)
	}
	proxy, err := url.Parse(values["address"])
	if err != nil || proxy.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, proxy.Scheme) {
		return nil, usage("cannot use the proxy of the bucket: the key address of its Secret must look like http://host:port, https://host:port or socks5://host:port")
	}
	if values["username"] != "" {
		proxy.User = url.UserPassword(values["username"], values["password"])
	}
	return proxy, nil
}

// secrets are texts that no message may hold.
type secrets struct{ replacer *strings.Replacer }

// leastSecret is how long a text is at least that is looked for: a shorter one would be found in any message.
const leastSecret = 4

// secretsOf returns what an error of a connection, or an answer of an object store, may quote.
func secretsOf(o archive.BucketOptions) secrets {
	texts := []string{o.Credentials.AccessKey, o.Credentials.SecretKey, o.Credentials.SessionToken}
	if o.Proxy != nil {
		password, _ := o.Proxy.User.Password()
		texts = append(texts, password, o.Proxy.User.Username(), o.Proxy.Host, o.Proxy.Hostname())
	}
	return secretsIn(texts)
}

// secretsIn returns the texts that a message must not quote, in all forms that a URL gives them.
func secretsIn(texts []string) secrets {
	var pairs []string
	for _, text := range texts {
		for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text), url.User(text).String()} {
			if len(form) >= leastSecret {
				pairs = append(pairs, form, "*****")
			}
		}
	}
	return secrets{strings.NewReplacer(pairs...)}
}

// Conceal returns err with another text if its own quotes the credentials of the options, or their proxy.
func Conceal(o archive.BucketOptions, err error) error { return secretsOf(o).conceal(err) }

// conceal returns err with another text if its own quotes a secret.
func (s secrets) conceal(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := s.clean(text); clean != text {
		return &reworded{clean, err}
	}
	return err
}

func (s secrets) clean(text string) string {
	if s.replacer == nil {
		return text
	}
	return s.replacer.Replace(text)
}

// reworded is an error with another text.
type reworded struct {
	text string
	err  error
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.err }
