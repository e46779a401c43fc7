//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"threescale.dev/backup/test/peers"
	"threescale.dev/backup/test/seaweedfs"
)

// issuerURL is whom tokens of ServiceAccounts are from.
const issuerURL = "https://kubernetes.default.svc"

// anybodyMayReadKeys is what a cluster needs for a service elsewhere to check
// its tokens.
const anybodyMayReadKeys = `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: issuer-discovery},
	roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:service-account-issuer-discovery"},
	subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:unauthenticated"}]}`

// A Federation is an object store with one bucket, and with a security token
// service that exchanges tokens of the cluster's ServiceAccounts for
// credentials. Its authority is one that nobody trusts by default.
type Federation struct {
	*Bucket

	// Endpoint and CA are those of both.
	Endpoint string
	CA       []byte

	server  *seaweedfs.Server
	process *Process
}

// StartFederation starts SeaweedFS on this machine, as a user without rights, in a
// folder that it makes. Of trust, the caller gives who may do what in which bucket.
func (c *Cluster) StartFederation(ctx context.Context, dir string, trust seaweedfs.Trust) (*Federation, error) {
	if err := c.ApplyYAML(ctx, []byte(anybodyMayReadKeys)); err != nil {
		return nil, err
	}
	trust.Issuer, trust.Keys, trust.CA = issuerURL, apiURL+"/openid/v1/jwks", c.authority.pem
	s := &ObjectStore{dir: dir, root: newKeys(), program: filepath.Join(dir, seaweedfs.Peer)}
	f := &Federation{Bucket: &Bucket{Name: trust.Bucket, store: s}}
	if err := s.prepareFederation(ctx, f, trust); err != nil {
		return nil, err
	}
	f.Endpoint, f.CA, s.Endpoint = f.server.Endpoint, s.CA, f.server.Endpoint
	if err := s.connect(); err != nil {
		return nil, err
	}
	id := strconv.Itoa(objectStoreUser)
	args := append([]string{"--reuid=" + id, "--regid=" + id, "--clear-groups", "--no-new-privs", "--pdeathsig=KILL", s.program}, f.server.Args...)
	var err error
	if f.process, err = c.StartProcess(ProcessOptions{Name: "seaweedfs", Path: "setpriv", Args: args, Env: f.server.Env}); err != nil {
		return nil, err
	}
	return f, f.process.Await(ctx, "SeaweedFS", f.makeBucket)
}

// Stop ends it, and removes what it leaves elsewhere. What it stores is left to the caller.
func (f *Federation) Stop() error {
	err := f.process.Stop()
	for _, socket := range f.server.Leftovers() {
		err = errors.Join(err, os.Remove(socket))
	}
	return err
}

// prepareFederation makes the folder, with a copy of the program where its user can reach it.
func (s *ObjectStore) prepareFederation(ctx context.Context, f *Federation, trust seaweedfs.Trust) error {
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return fmt.Errorf("cannot create folder of SeaweedFS: %w", err)
	}
	binary, err := peers.Binary(ctx, seaweedfs.Peer)
	if err != nil {
		return err
	}
	if _, err := run(ctx, "cp", binary, s.program); err != nil {
		return err
	}
	if err := s.certify("seaweedfs"); err != nil {
		return err
	}
	f.server, err = seaweedfs.Prepare(ctx, seaweedfs.Options{
		Dir: s.dir, Host: apiAddress, Cert: s.path("tls.crt"), Key: s.path("tls.key"), AccessKey: s.root.Access, SecretKey: s.root.Secret, Trust: &trust,
	})
	if err != nil {
		return err
	}
	return s.giveAway(ctx)
}

// makeBucket succeeds once there is room for objects.
func (f *Federation) makeBucket(ctx context.Context) error {
	err := f.store.admin.MakeBucket(ctx, f.Name, minio.MakeBucketOptions{})
	if err != nil && minio.ToErrorResponse(err).StatusCode != http.StatusConflict {
		return fmt.Errorf("cannot make bucket %q: %w", f.Name, err)
	}
	if _, err := f.store.admin.PutObject(ctx, f.Name, "first", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		return fmt.Errorf("cannot write to bucket %q: %w", f.Name, err)
	}
	return f.Remove(ctx, "first")
}
