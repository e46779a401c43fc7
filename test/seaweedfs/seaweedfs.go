// Package seaweedfs says how SeaweedFS is started as an object store with a
// security token service; see [Options].
package seaweedfs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"threescale.dev/backup/test/cluster/ports"
)

// Peer is the program's name in package peers.
const Peer = "weed"

const (
	s3Config  = "s3.json"
	iamConfig = "iam.json"
	issuerCA  = "issuer.crt"
	// role and policy are names within SeaweedFS.
	policy   = "bucket"
	provider = "kubernetes"
)

// Options describe a server for one test. It listens on the loopback interface,
// and for S3 and its security token service on Host.
type Options struct {
	// Dir is an empty folder for all that the server stores and is told.
	Dir string
	// Host is the address that S3 is served on.
	Host string
	// Cert and Key are files of a certificate; without, the server speaks no TLS.
	Cert, Key string
	// AccessKey and SecretKey are those of who may do everything.
	AccessKey, SecretKey string
	// Trust is nil if the server exchanges no tokens.
	Trust *Trust
}

// Trust says which tokens a security token service exchanges, and for what.
type Trust struct {
	// Issuer is the URL that the tokens say they are from.
	Issuer string
	// Keys is the URL of its public keys; "" has the issuer asked for it.
	Keys string
	// CA is the certificate of the authority of both, PEM.
	CA []byte
	// Audience that tokens must have.
	Audience string
	// Subjects are who may assume the role; a star stands for any text.
	Subjects []string
	// Role is the ARN of the role, and Actions what it may do in Bucket, such as s3:GetObject.
	Role    string
	Actions []string
	Bucket  string
	// Session is how long credentials last, an hour by default.
	Session time.Duration
}

// A Server is one that can be started.
type Server struct {
	// Endpoint is the host and the port of S3 and of the security token service.
	Endpoint string
	// Args and Env are those of the program.
	Args, Env []string

	ports []int
}

// Prepare writes the server's files, and chooses its ports.
func Prepare(ctx context.Context, o Options) (*Server, error) {
	if err := o.write(); err != nil {
		return nil, err
	}
	s := &Server{Env: []string{
		"HOME=" + o.Dir, "TMPDIR=" + o.Dir, // it looks for configuration and leaves files there
		"WEED_MASTER_VOLUME_GROWTH_COPY_1=1", // files that it adds to a bucket at a time
	}}
	s.Args = []string{
		"-logtostderr=true",
		"server", "-dir=" + filepath.Join(o.Dir, "data"), "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3.ip.bind=" + o.Host,
		"-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=1024", "-volume.max=100", "-volume.minFreeSpace=1MiB", "-volume.preStopSeconds=0",
		"-s3.port.iceberg=0", "-s3.port.lance=0",
		"-s3.config=" + filepath.Join(o.Dir, s3Config), "-s3.iam.config=" + filepath.Join(o.Dir, iamConfig),
		"-filer.localSocket=" + filepath.Join(o.Dir, "filer.sock"), "-s3.localSocket=" + filepath.Join(o.Dir, "s3.sock"),
		"-s3.cert.file=" + o.Cert, "-s3.key.file=" + o.Key,
	}
	for _, name := range []string{"master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc", "s3.port"} {
		port, err := ports.Free(ctx)
		if err != nil {
			return nil, err
		}
		s.ports = append(s.ports, port)
		s.Args = append(s.Args, fmt.Sprintf("-%s=%d", name, port))
		s.Endpoint = net.JoinHostPort(o.Host, strconv.Itoa(port)) // the last one
	}
	return s, nil
}

// Leftovers are the sockets that a server which was killed leaves outside of its folder.
func (s *Server) Leftovers() []string {
	var found []string
	for _, port := range s.ports {
		sockets, _ := filepath.Glob(fmt.Sprintf("/tmp/seaweedfs-*-grpc-%d.sock", port)) // the pattern is well-formed
		found = append(found, sockets...)
	}
	return found
}

func (o Options) write() error {
	if err := os.Mkdir(filepath.Join(o.Dir, "data"), 0o700); err != nil {
		return fmt.Errorf("cannot make folder of SeaweedFS: %w", err)
	}
	files := map[string]any{s3Config: o.users(), iamConfig: o.iam()}
	for name, content := range files {
		text, err := json.Marshal(content)
		if err != nil {
			return fmt.Errorf("cannot write %s of SeaweedFS: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, name), text, 0o600); err != nil {
			return fmt.Errorf("cannot write %s of SeaweedFS: %w", name, err)
		}
	}
	if o.Trust == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(o.Dir, issuerCA), o.Trust.CA, 0o600); err != nil {
		return fmt.Errorf("cannot write certificate of issuer: %w", err)
	}
	return nil
}

type object = map[string]any

func (o Options) users() object {
	return object{"identities": []any{object{
		"name":        "admin",
		"credentials": []any{object{"accessKey": o.AccessKey, "secretKey": o.SecretKey}},
		"actions":     []string{"Admin", "Read", "List", "Tagging", "Write"},
	}}}
}

func (o Options) iam() object {
	out := object{
		"sts":    object{"signingKey": []byte(rand.Text() + rand.Text()), "tokenDuration": time.Hour.String()},
		"policy": object{"defaultEffect": "Deny", "storeType": "memory"},
	}
	t := o.Trust
	if t == nil {
		return out
	}
	if t.Session > 0 {
		out["sts"].(object)["tokenDuration"] = t.Session.String() //nolint:forcetypeassert // made above
	}
	issuer := object{"issuer": t.Issuer, "clientId": t.Audience, "tlsCaCert": filepath.Join(o.Dir, issuerCA)}
	if t.Keys != "" {
		issuer["jwksUri"] = t.Keys
	}
	out["providers"] = []any{object{"name": provider, "type": "oidc", "enabled": true, "config": issuer}}
	out["policies"] = []any{object{"name": policy, "document": document(object{
		"Effect": "Allow", "Action": t.Actions, "Resource": []string{"arn:aws:s3:::" + t.Bucket, "arn:aws:s3:::" + t.Bucket + "/*"},
	})}}
	out["roles"] = []any{object{
		"roleName": filepath.Base(t.Role), "roleArn": t.Role, "attachedPolicies": []string{policy},
		"trustPolicy": document(object{
			"Effect": "Allow", "Action": []string{"sts:AssumeRoleWithWebIdentity"}, "Principal": object{"Federated": provider},
			"Condition": object{"StringLike": object{"oidc:sub": t.Subjects}},
		}),
	}}
	return out
}

func document(statement object) object {
	return object{"Version": "2012-10-17", "Statement": []any{statement}}
}
