// Package s3 speaks to an object store. It knows nothing of runs: it maps a few operations to requests, tries again what
// may succeed later, and says in one of a few words why an object store does not do what it is asked for.
package s3

import (
	"context"
	"net"
	"net/url"
	"time"
)

// Options names a bucket, and how it is reached.
type Options struct {
	Endpoint    string // host, with a port if it is not the usual one
	Bucket      string
	Region      string // empty: the object store is asked
	Insecure    bool   // HTTP without TLS
	PathStyle   bool   // the bucket is in the path of URLs, not in the name of the host
	NoChecksums bool   // requests carry no checksum headers
	CA          []byte // PEM of certificates that are trusted beside the usual ones
	Proxy       *url.URL
	Credentials Credentials
	Connections int     // how many are kept open; 0: as many as suit
	PartSize    int64   // of parts, and of what is sent in one request at most; 0: the usual one; at least 5 MiB, as S3 wants
	Backoff     Backoff // of requests that are tried again

	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: over the network
}

// Credentials are what requests are signed with: static keys, or those of a role that a token is exchanged for. With
// neither, requests are not signed.
type Credentials struct {
	AccessKey, SecretKey, SessionToken string

	RoleARN     string
	TokenFile   string // is read at each exchange
	STSEndpoint string // URL; empty: that of AWS
}

// Backoff says how often and how long a request is tried again. Zero fields are the usual ones.
type Backoff struct {
	First    time.Duration // wait after the first failure; each wait doubles
	Longest  time.Duration // wait
	Patience time.Duration // how long one operation is tried again in all
	Idle     time.Duration // without a byte on a connection, after which it counts as broken
}

// Object is what a list says about an object, or about a common prefix: that has only a key, with a slash at its end.
type Object struct {
	Key      string
	Size     int64
	ETag     string // no digest: only the same as long as the object is
	Modified time.Time
}

// Lock keeps an object from being deleted or replaced until a time.
type Lock struct {
	Compliance bool // nobody may; else those may whom the object store allows it
	Until      time.Time
}

// Refused is an object that the object store does not delete.
type Refused struct {
	Key string
	Err error
}
