package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"threescale.dev/backup/fn/archive"
)

// objectStore are the flags that say how a bucket is reached. What they leave out is read
// from the environment, under the names that the tools of AWS know. Credentials are read
// from there only: the arguments of a process can be seen by all users of a machine.
type objectStore struct {
	Endpoint  string `name:"s3-endpoint" placeholder:"URL" help:"Object store, such as https://s3.example.com:9000; http:// is not encrypted. By default $AWS_ENDPOINT_URL_S3, else $AWS_ENDPOINT_URL, else Amazon S3."`
	Region    string `name:"s3-region" placeholder:"REGION" help:"Region of the bucket. By default $AWS_REGION, else $AWS_DEFAULT_REGION, else the object store is asked."`
	CA        string `name:"s3-ca" placeholder:"FILE" help:"PEM file of certificates to trust beside the usual ones. By default $AWS_CA_BUNDLE."`
	Checksums string `name:"s3-checksums" enum:"SHA256,None" default:"SHA256" help:"Checksums of requests, which the object store checks: ${enum}. None is for one that refuses them."`
}

// objectStoreGroup is the group of these flags in the help text, and objectStoreHelp what
// it says of them.
const (
	objectStoreGroup = "object-store"
	objectStoreHelp  = "Credentials come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE. HTTPS_PROXY, HTTP_PROXY and NO_PROXY count too."
)

// amazon is the object store that is meant where none is named.
const amazon = "s3.amazonaws.com"

// environment returns the value of a variable, "" without one.
type environment func(name string) string

// first returns the first variable that has a value, and the value.
func (env environment) first(names ...string) (name, value string) {
	for _, name := range names {
		if value := env(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// options returns how the bucket of a place is reached. No error quotes a variable: it may
// hold what is secret, by its name or by mistake.
func (o *objectStore) options(at place, env environment) (archive.BucketOptions, error) {
	options := archive.BucketOptions{Bucket: at.bucket, Prefix: at.prefix, NoChecksums: o.Checksums == "None"}
	_, region := env.first("AWS_REGION", "AWS_DEFAULT_REGION")
	options.Region = cmp.Or(o.Region, region)
	endpoint, err := o.endpoint(env)
	if err != nil {
		return options, err
	}
	options.Endpoint, options.Insecure = endpoint.Host, endpoint.Scheme == "http"
	options.PathStyle = !isAmazon(endpoint.Hostname()) || strings.Contains(at.bucket, ".") // no certificate is for such a host
	if options.Proxy, err = proxy(endpoint, env); err != nil {
		return options, err
	}
	if options.CA, err = o.authorities(env); err != nil {
		return options, err
	}
	options.Credentials, err = credentials(env)
	return options, err
}

// endpoint returns the URL of the object store.
func (o *objectStore) endpoint(env environment) (*url.URL, error) {
	name, text := env.first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	if o.Endpoint != "" {
		name, text = "--s3-endpoint", o.Endpoint
	}
	text = cmp.Or(text, amazon)
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	parsed, err := url.Parse(text)
	wrong := func(why string) error {
		return fmt.Errorf("cannot use the URL in %s: %s; it is like https://s3.example.com:9000", name, why)
	}
	switch {
	case err != nil:
		return nil, wrong("it is malformed")
	case parsed.User != nil:
		return nil, wrong("it has credentials, which belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case parsed.Scheme != "https" && parsed.Scheme != "http":
		return nil, wrong("it begins with neither https:// nor http://")
	case parsed.Hostname() == "":
		return nil, wrong("it names no host")
	case strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "":
		return nil, wrong("there is more behind the host: the bucket and the prefix are in s3://BUCKET/PREFIX")
	}
	return parsed, nil
}

// isAmazon reports whether a host is one of Amazon S3, where the name of the bucket is a
// part of the host's name.
func isAmazon(host string) bool {
	host = strings.ToLower(host)
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}

// proxy returns the proxy of the environment for a URL; nil without one. A proxy that cannot be
// used is an error: requests must not silently go past it.
func proxy(to *url.URL, env environment) (*url.URL, error) {
	variable := func(name string) string { return cmp.Or(env(name), env(strings.ToLower(name))) }
	config := httpproxy.Config{HTTPProxy: variable("HTTP_PROXY"), HTTPSProxy: variable("HTTPS_PROXY"), NoProxy: variable("NO_PROXY")}
	name, text := "HTTPS_PROXY", config.HTTPSProxy
	if to.Scheme == "http" {
		name, text = "HTTP_PROXY", config.HTTPProxy
	}
	if text != "" && !isProxy(text) {
		return nil, fmt.Errorf("cannot use the proxy in %s: it is no URL like http://proxy.example.com:3128", name)
	}
	by, err := config.ProxyFunc()(to)
	if err != nil {
		return nil, fmt.Errorf("cannot use the proxy in %s", name) // the cause may quote it
	}
	return by, nil
}

// isProxy reports whether a text is the URL of a proxy, or its host and port.
func isProxy(text string) bool {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	parsed, err := url.Parse(text)
	return err == nil && parsed.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, parsed.Scheme)
}

// authorities reads the certificates that are trusted, too.
func (o *objectStore) authorities(env environment) ([]byte, error) {
	name, file := env.first("AWS_CA_BUNDLE")
	if o.CA != "" {
		name, file = "--s3-ca", o.CA
	}
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificates of %s: %w", name, err)
	}
	return data, nil
}

// credentials returns those of the environment; static keys go before a role, as in the
// tools of AWS.
func credentials(env environment) (archive.Credentials, error) {
	c := archive.Credentials{AccessKey: env("AWS_ACCESS_KEY_ID"), SecretKey: env("AWS_SECRET_ACCESS_KEY")}
	switch {
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return c, errors.New("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: one of them has no value")
	case c.AccessKey != "":
		c.SessionToken = env("AWS_SESSION_TOKEN")
		return c, nil
	}
	c.RoleARN, c.TokenFile = env("AWS_ROLE_ARN"), env("AWS_WEB_IDENTITY_TOKEN_FILE")
	if (c.RoleARN == "") != (c.TokenFile == "") {
		return c, errors.New("AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE belong together: one of them has no value")
	}
	c.STSEndpoint = env("AWS_ENDPOINT_URL_STS")
	return c, nil
}
