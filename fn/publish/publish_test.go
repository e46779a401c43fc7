package publish

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxcd/pkg/gittestserver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// certificate makes one for 127.0.0.1, signed by itself.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "git"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	encoded, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}

func TestPublishOverEveryTransport(t *testing.T) {
	secure := func(t *testing.T, s *server) Target {
		cert, key := certificate(t)
		s.StopHTTP()
		require.NoError(t, s.StartHTTPS(cert, key, cert, "127.0.0.1"))
		target := s.target()
		target.Auth = map[string][]byte{"ca.crt": cert, "username": []byte("bob"), "password": []byte("pass")}
		return target
	}
	cases := map[string]struct {
		reason string
		config []string
		target func(t *testing.T, s *server) Target
	}{
		"HTTP":                  {"a server as git makes it: it cannot leave out files", nil, nil},
		"HTTP, filter":          {"the server leaves out files, but does not send single ones", []string{"uploadpack.allowFilter"}, nil},
		"HTTP, filter and pick": {"as GitHub, GitLab and Gitea do", []string{"uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"}, nil},
		"HTTPS with ca.crt":     {"with a login and an authority of its own", nil, secure},
		"SSH":                   {"with known_hosts", nil, func(t *testing.T, s *server) Target { return s.sshTarget(t) }},
		"SSH, filter and pick": {
			"each request is a connection", []string{"uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"},
			func(t *testing.T, s *server) Target { return s.sshTarget(t) },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			noLeftovers(t)
			s := serve(t, func(g *gittestserver.GitServer) {
				if name == "HTTPS with ca.crt" {
					g.Auth("bob", "pass")
				}
			})
			for _, key := range tc.config {
				gitIn(t, s.bare, "config", key, "true")
			}
			first := s.seed(t, "main", map[string]string{"README.md": "hello\n", ".sops.yaml": "rules\n", "apps/base/x/old.yaml": "old\n", "apps/base/y/a.yaml": "other's\n"})
			target := s.target()
			if tc.target != nil {
				target = tc.target(t, s)
			}
			change := func(ctx context.Context, files fs.FS) (Edit, error) {
				rules, err := fs.ReadFile(files, ".sops.yaml")
				assert.Equal(t, "rules\n", string(rules))
				edit, _ := writing(someFiles)(ctx, files)
				edit.Remove = []string{"apps/base/x/old.yaml", "apps/base/x/never-there.yaml"}
				return edit, err
			}
			result, err := Publish(t.Context(), target, folders, commitOf("one"), change)
			require.NoError(t, err)
			assert.True(t, result.Pushed)
			assert.False(t, result.Found)
			assert.Equal(t, []string{result.Commit, first}, s.commits(t, "main"))
			assert.Equal(t, "main", result.Branch)
			assert.Equal(t, first, result.Head)
			for file, data := range someFiles {
				assert.Equal(t, data, string(s.content(t, "main", file)))
			}
			assert.Equal(t, ".sops.yaml\nREADME.md\napps/base/y/a.yaml", gitIn(t, s.bare, "ls-tree", "-r", "--name-only", "main", ".sops.yaml", "README.md", "apps/base/y/"))
			_, err = tryGit(s.bare, "cat-file", "-e", "main:apps/base/x/old.yaml")
			assert.Error(t, err, "it was removed")
			gitIn(t, s.bare, "fsck", "--strict")
			assert.Equal(t, "Restore x\n\nIt was lost.\n\nThreescale-Restore: ns/x one", gitIn(t, s.bare, "log", "-1", "--format=%B", "main"))
			assert.Equal(t, "Flux <flux@example.org> Flux <flux@example.org>", gitIn(t, s.bare, "log", "-1", "--format=%an <%ae> %cn <%ce>", "main"))

			again, err := Publish(t.Context(), target, folders, commitOf("one"), func(context.Context, fs.FS) (Edit, error) {
				return Edit{}, errors.New("must not be asked")
			})
			require.NoError(t, err)
			assert.True(t, again.Found)
			assert.False(t, again.Pushed)
			assert.Equal(t, result.Commit, again.Commit)

			same, err := Publish(t.Context(), target, folders, commitOf("two"), writing(someFiles))
			require.NoError(t, err)
			assert.False(t, same.Pushed, "no change, no commit")
			assert.Equal(t, result.Commit, same.Commit)
			assert.Len(t, s.commits(t, "main"), 2)
		})
	}
}

func TestPublishToAnEmptyRepository(t *testing.T) {
	noLeftovers(t)
	s := serve(t)
	result, err := Publish(t.Context(), s.target(), folders, commitOf("one"), writing(someFiles))
	require.NoError(t, err)
	assert.Equal(t, []string{result.Commit}, s.commits(t, "main"))
	assert.Empty(t, result.Head)
	gitIn(t, s.bare, "fsck", "--strict")
	nothing, err := Publish(t.Context(), s.target(), folders, commitOf("two"), func(context.Context, fs.FS) (Edit, error) {
		return Edit{Remove: []string{"apps/base/x/a.yaml", "apps/base/x/kustomization.yaml", "apps/overlays/x/kustomization.yaml"}}, nil
	})
	require.NoError(t, err, "a commit may leave nothing")
	assert.Empty(t, gitIn(t, s.bare, "ls-tree", nothing.Commit))
}

func TestRecord(t *testing.T) {
	for name, config := range map[string][]string{"plain": nil, "filter": {"uploadpack.allowFilter"}} {
		t.Run(name, func(t *testing.T) {
			s := serveSeeded(t, map[string]string{"README.md": "1"})
			for _, key := range config {
				gitIn(t, s.bare, "config", key, "true")
			}
			publish := func(value, data string) Result {
				result, err := Publish(t.Context(), s.target(), folders, commitOf(value), writing(map[string]string{"apps/base/x/a.yaml": data}))
				require.NoError(t, err)
				return result
			}
			one := publish("one", "1")
			for i := range 5 {
				s.seed(t, "main", map[string]string{"README.md": fmt.Sprint("later ", i)})
			}
			found := publish("one", "another")
			assert.True(t, found.Found, "below the commits of others")
			assert.Equal(t, one.Commit, found.Commit)
			assert.Equal(t, 6, found.Looked)

			other := commitOf("else")
			other.Trailer.Subject = "ns/x-two"
			_, err := Publish(t.Context(), s.target(), folders, other, writing(map[string]string{"apps/base/x/b.yaml": "b"}))
			require.NoError(t, err)
			assert.True(t, publish("one", "another").Found, "another's record does not count")

			assert.True(t, publish("two", "2").Pushed)
			assert.True(t, publish("one", "1").Pushed, "what was replaced since is published again")
			assert.True(t, publish("one", "1").Found)
			again := publish("one+2", "1 again")
			assert.True(t, again.Pushed, "asked for once more")
			assert.Equal(t, again.Commit, publish("one", "1").Commit, "which counts for who asks as at first")
			assert.True(t, publish("one+3", "1 once more").Pushed, "and not for who asks once more again")
			assert.True(t, publish("on", "another").Pushed, "a value is a whole word")

			looked, err := Inspect(t.Context(), s.target(), commitOf("two").Trailer, nil)
			require.NoError(t, err)
			assert.False(t, looked.Found)
			never := commitOf("never").Trailer
			never.Subject = "ns/never"
			looked, err = Inspect(t.Context(), s.target(), never, func(_ context.Context, files fs.FS) error {
				data, err := fs.ReadFile(files, "README.md")
				assert.Equal(t, "later 4", string(data))
				return err
			})
			require.NoError(t, err)
			assert.True(t, looked.Whole)
			assert.Equal(t, len(s.commits(t, "main")), looked.Looked)
		})
	}
}

func TestTheRecordIsLookedForAsDeepAsTheServerAllows(t *testing.T) {
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	dir := filepath.Join(t.TempDir(), "work")
	gitIn(t, "", "clone", "-q", s.bare, dir)
	gitIn(t, dir, "commit", "-q", "--allow-empty", "-m", "x\n\n"+commitOf("old").Trailer.String())
	const plainDepth = 100 // of package remote
	for i := range plainDepth {
		gitIn(t, dir, "commit", "-q", "--allow-empty", "-m", fmt.Sprint("later ", i))
	}
	gitIn(t, dir, "push", "-q", "origin", "main")
	looked, err := Inspect(t.Context(), s.target(), commitOf("old").Trailer, nil)
	require.NoError(t, err)
	assert.False(t, looked.Found)
	assert.False(t, looked.Whole, "and it says that it has not seen all")
	gitIn(t, s.bare, "config", "uploadpack.allowFilter", "true")
	looked, err = Inspect(t.Context(), s.target(), commitOf("old").Trailer, nil)
	require.NoError(t, err)
	assert.True(t, looked.Found)
	gitIn(t, s.bare, "config", "uploadpackfilter.tree.allow", "false")
	looked, err = Inspect(t.Context(), s.target(), commitOf("old").Trailer, nil)
	require.NoError(t, err, "a server that forbids the one filter is asked as if it had none")
	assert.False(t, looked.Whole)
}

// race runs writers at once and proves that each made one commit, one after the other.
func race(t *testing.T, s *server, publish func(ctx context.Context, n int) (Result, error)) {
	t.Helper()
	const writers = 10
	before := len(s.commits(t, "main"))
	group, ctx := errgroup.WithContext(t.Context())
	for n := range writers {
		group.Go(func() error {
			result, err := publish(ctx, n)
			if err == nil && !result.Pushed {
				err = fmt.Errorf("writer %d pushed nothing", n)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	assert.Len(t, s.commits(t, "main"), before+writers)
	assert.Empty(t, gitIn(t, s.bare, "log", "--merges", "main"))
	for n := range writers {
		s.content(t, "main", fmt.Sprintf("apps/base/x%d/a.yaml", n))
	}
	gitIn(t, s.bare, "fsck", "--strict")
}

func writer(n int) ([]string, Commit, Change) {
	folder := fmt.Sprintf("apps/base/x%d", n)
	commit := commitOf("one")
	commit.Trailer.Subject = fmt.Sprintf("ns/x%d", n)
	return []string{folder}, commit, writing(map[string]string{folder + "/a.yaml": folder})
}

func TestTenWriters(t *testing.T) {
	noLeftovers(t)
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	race(t, s, func(ctx context.Context, n int) (Result, error) {
		folders, commit, change := writer(n)
		for { // a race that was lost ten times is for the caller to go on with
			result, err := Publish(ctx, s.target(), folders, commit, change)
			var failed *Error
			if !errors.As(err, &failed) || failed.Reason != RaceLost {
				return result, err
			}
		}
	})
}

// TestNobodyHoldsAnothersBranch: who names another's URL, by a proxy of his own that never answers, holds up nobody but himself.
func TestNobodyHoldsAnothersBranch(t *testing.T) {
	noLeftovers(t)
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, proxy.Close()) }()
	hostile := s.target()
	hostile.ProxyURL = &url.URL{Scheme: "http", Host: proxy.Addr().String()}
	hostile.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Publish(ctx, hostile, folders, commitOf("hostile"), writing(someFiles))
		ended <- err
	}()
	held, err := proxy.Accept() // it is under way
	require.NoError(t, err)
	defer func() { assert.NoError(t, held.Close()) }()

	result, err := Publish(t.Context(), s.target(), folders, commitOf("one"), writing(someFiles))
	require.NoError(t, err)
	assert.True(t, result.Pushed)
	select {
	case err := <-ended:
		t.Fatalf("the other one has not been held at all: %v", err)
	default:
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestALostRaceIsRunAgain(t *testing.T) {
	noLeftovers(t)
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	calls := 0
	_, err := Publish(t.Context(), s.target(), folders, commitOf("one"), func(ctx context.Context, files fs.FS) (Edit, error) {
		if calls++; calls <= 3 {
			s.seed(t, "main", map[string]string{"README.md": fmt.Sprint("meanwhile ", calls)})
		}
		return writing(someFiles)(ctx, files)
	})
	require.NoError(t, err)
	assert.Equal(t, 4, calls)
	assert.Len(t, s.commits(t, "main"), 5)
	assert.Equal(t, "meanwhile 3", string(s.content(t, "main", "README.md")))
}

func TestARaceLostAtEveryTry(t *testing.T) {
	noLeftovers(t)
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	tries := 0
	_, err := Publish(t.Context(), s.target(), folders, commitOf("one"), func(ctx context.Context, files fs.FS) (Edit, error) {
		tries++
		s.seed2(t)
		return writing(someFiles)(ctx, files)
	})
	requireReason(t, err, RaceLost)
	assert.Equal(t, maxTries, tries)
}

// seed2 moves main without a push, past the hooks.
func (s *server) seed2(t *testing.T) {
	t.Helper()
	tree := gitIn(t, s.bare, "rev-parse", "main^{tree}")
	next := gitIn(t, s.bare, "commit-tree", tree, "-p", "main", "-m", "meanwhile")
	gitIn(t, s.bare, "update-ref", "refs/heads/main", next)
}

func TestTheCloneGoesAlways(t *testing.T) {
	s := serveSeeded(t, map[string]string{"README.md": "1"})
	t.Run("the change fails", func(t *testing.T) {
		noLeftovers(t)
		mine := errors.New("mine")
		_, err := Publish(t.Context(), s.target(), folders, commitOf("one"), func(context.Context, fs.FS) (Edit, error) { return Edit{}, mine })
		assert.ErrorIs(t, err, mine)
	})
	t.Run("the change panics", func(t *testing.T) {
		noLeftovers(t)
		assert.Panics(t, func() {
			_, _ = Publish(t.Context(), s.target(), folders, commitOf("one"), func(context.Context, fs.FS) (Edit, error) { panic("mine") })
		})
	})
	t.Run("the context ends", func(t *testing.T) {
		noLeftovers(t)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Publish(ctx, s.target(), folders, commitOf("one"), func(ctx context.Context, files fs.FS) (Edit, error) {
			cancel()
			return writing(someFiles)(ctx, files)
		})
		assert.ErrorIs(t, err, context.Canceled)
	})
	assert.Len(t, s.commits(t, "main"), 1)
}
