package gitserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fluxcd/gitkit"
	"github.com/fluxcd/pkg/gittestserver"
	"golang.org/x/crypto/ssh/knownhosts"
)

// user is who may read and push by HTTP.
const user = "git"

// A Server serves repositories until it is stopped.
type Server struct {
	dir              string
	http, https, ssh *gittestserver.GitServer
	username         string
	password         string
	ca               []byte
	client           sshKey
	knownHosts       []byte
}

// lookup guards the one place that gittestserver has for the SSH keys of all
// its servers.
var lookup sync.Mutex

// Start starts a server that keeps its repositories in the folder, which it
// makes. Whoever calls it removes the folder; that of a cluster goes with the
// cluster, also when the test is killed.
func Start(dir string) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve folder of Git server: %w", err)
	}
	s := &Server{dir: dir, username: user, password: newPassword()}
	for _, folder := range []string{s.root(), s.home(), s.keys()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("cannot create folder %q: %w", folder, err)
		}
	}
	for _, start := range []func() error{s.startHTTP, s.startHTTPS, s.startSSH} {
		if err := start(); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	return s, nil
}

// Stop stops serving. The repositories stay.
func (s *Server) Stop() error {
	for _, server := range []*gittestserver.GitServer{s.http, s.https} {
		if server != nil {
			server.StopHTTP()
		}
	}
	if s.ssh == nil {
		return nil
	}
	if err := s.ssh.StopSSH(); err != nil {
		return fmt.Errorf("cannot stop SSH server: %w", err)
	}
	return nil
}

// Address is the URL of all repositories by HTTP.
func (s *Server) Address() string { return s.http.HTTPAddress() }

// BasicAuth is the data of a Secret for HTTP, as Flux reads it: username and
// password.
func (s *Server) BasicAuth() map[string][]byte {
	return map[string][]byte{"username": []byte(s.username), "password": []byte(s.password)}
}

// TLSAuth is the data of a Secret for HTTPS, as Flux reads it: username,
// password and ca.crt, the server's own authority.
func (s *Server) TLSAuth() map[string][]byte {
	auth := s.BasicAuth()
	auth["ca.crt"] = s.ca
	return auth
}

// SSHAuth is the data of a Secret for SSH, as Flux reads it: identity,
// identity.pub and known_hosts. No other key is let in.
func (s *Server) SSHAuth() map[string][]byte {
	return map[string][]byte{"identity": s.client.private, "identity.pub": s.client.authorized, "known_hosts": s.knownHosts}
}

func (s *Server) startHTTP() error {
	s.http = s.newServer()
	if err := s.http.StartHTTP(); err != nil {
		return fmt.Errorf("cannot start HTTP server: %w", err)
	}
	return nil
}

func (s *Server) startHTTPS() error {
	cert, key, err := newCertificate("127.0.0.1")
	if err != nil {
		return err
	}
	s.ca = cert
	s.https = s.newServer()
	if err := s.https.StartHTTPS(cert, key, cert, "127.0.0.1"); err != nil {
		return fmt.Errorf("cannot start HTTPS server: %w", err)
	}
	return nil
}

func (s *Server) startSSH() error {
	host, err := newSSHKey()
	if err != nil {
		return err
	}
	// The name is gitkit's; it reads a key of any kind, and makes none then.
	if err := os.WriteFile(filepath.Join(s.keys(), "gitkit.rsa"), host.private, 0o600); err != nil {
		return fmt.Errorf("cannot write host key: %w", err)
	}
	if s.client, err = newSSHKey(); err != nil {
		return err
	}
	s.ssh = s.newServer().KeyDir(s.keys())
	if err := s.listenSSH(); err != nil {
		return fmt.Errorf("cannot start SSH server: %w", err)
	}
	address := strings.TrimPrefix(s.ssh.SSHAddress(), "ssh://git@")
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("cannot read address of SSH server: %w", err)
	}
	s.knownHosts = []byte(knownhosts.Line([]string{address}, host.public) + "\n")
	go func() { _ = s.ssh.StartSSH() }() // It says no more than that it was stopped.
	return nil
}

// listenSSH lets in the client's key only.
func (s *Server) listenSSH() error {
	lookup.Lock()
	defer lookup.Unlock()
	s.ssh.PublicKeyLookupFunc(func(content string) (*gitkit.PublicKey, error) {
		if content != strings.TrimSpace(string(s.client.authorized)) {
			return nil, errors.New("no such key")
		}
		return &gitkit.PublicKey{Id: "client"}, nil
	})
	return s.ssh.ListenSSH()
}

func (s *Server) newServer() *gittestserver.GitServer {
	server := gittestserver.NewGitServer(s.root()).Auth(s.username, s.password)
	server.AddHTTPMiddlewares(s.backend)
	return server
}

func (s *Server) root() string { return filepath.Join(s.dir, "repositories") }
func (s *Server) home() string { return filepath.Join(s.dir, "home") }
func (s *Server) keys() string { return filepath.Join(s.dir, "keys") }
