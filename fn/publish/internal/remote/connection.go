package remote

import (
	"context"
	"net/url"
	"time"

	"github.com/fluxcd/pkg/git"
	_ "github.com/fluxcd/pkg/git/gogit" // sets the capabilities that Azure DevOps and AWS CodeCommit insist on
	"github.com/fluxcd/pkg/ssh/knownhosts"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"

	"threescale.dev/backup/fn/publish/internal/failure"
)

// Connection is how to reach one repository: no socket is open between two requests.
type Connection struct {
	endpoint  transport.Endpoint // copied for each session: a redirect changes it
	auth      transport.AuthMethod
	transport transport.Transport
	URL       string // the URL without credentials
	redact    failure.Redactor
}

// Connect checks a URL, a login, which is the data of a Secret of Flux', and a
// proxy, nil for none. Nothing is sent yet.
func Connect(address string, login map[string][]byte, proxy *url.URL) (*Connection, error) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		return nil, failure.New(failure.InvalidInput, "cannot use the repository's URL: it must look like https://host/path, http://host/path or ssh://git@host/path")
	}
	switch parsed.Scheme {
	case "http", "https", "ssh":
	default:
		return nil, failure.New(failure.InvalidInput, "cannot use the repository's URL: its scheme must be https, http or ssh") // a user name without one looks like one
	}
	c := &Connection{redact: redactorFor(parsed, login, proxy)}
	options, err := git.NewAuthOptions(*parsed, login)
	if err != nil { // as below, its own words may quote the Secret
		return nil, failure.New(failure.InvalidInput, "cannot use the repository's login: %s", neededFor(parsed.Scheme))
	}
	if options.BearerToken != "" && (options.Username != "" || options.Password != "") {
		return nil, failure.New(failure.InvalidInput, "cannot use the repository's login: it has both a bearer token and a user name or password; remove one")
	}
	parsed.User = nil // the login is in options
	c.URL = parsed.String()
	endpoint, err := transport.NewEndpoint(c.URL)
	if err != nil {
		return nil, failure.New(failure.InvalidInput, "cannot use the URL %q: it is malformed", c.URL)
	}
	endpoint.CaBundle, endpoint.ClientCert, endpoint.ClientKey = options.CAFile, options.ClientCert, options.ClientKey
	if options.Transport == git.SSH {
		endpoint.User = options.Username
	}
	if proxy != nil {
		password, _ := proxy.User.Password()
		bare := *proxy
		bare.User = nil
		endpoint.Proxy = transport.ProxyOptions{URL: bare.String(), Username: proxy.User.Username(), Password: password}
	}
	if c.auth, err = authMethod(options); err != nil {
		return nil, err
	}
	if c.transport, err = client.NewClient(endpoint); err != nil {
		return nil, failure.New(failure.InvalidInput, "cannot use the URL %q: its ca.crt, tls.crt or tls.key, or its proxy, cannot be used", c.URL)
	}
	c.endpoint = *endpoint
	return c, nil
}

// neededFor says what a login's Secret has to hold.
func neededFor(scheme string) string {
	if scheme == "ssh" {
		return "its Secret needs identity, an SSH private key, and known_hosts, and password if the key is encrypted"
	}
	return "its Secret needs username and password, or bearerToken; and tls.crt and tls.key together, or neither"
}

// minToken is the length from which a user name may be a token.
const minToken = 16

func redactorFor(parsed *url.URL, login map[string][]byte, proxy *url.URL) failure.Redactor {
	password, _ := parsed.User.Password()
	secrets := []string{password, string(login["password"]), string(login["bearerToken"])}
	names := []string{parsed.User.Username(), string(login["username"])}
	if proxy != nil {
		proxyPassword, _ := proxy.User.Password()
		secrets = append(secrets, proxyPassword, proxy.Host, proxy.Hostname())
		names = append(names, proxy.User.Username())
	}
	for _, name := range names {
		for _, each := range secrets[:2] {
			if each != "" { // as it goes into a header
				secrets = append(secrets, name+":"+each)
			}
		}
		if len(name) >= minToken {
			secrets = append(secrets, name)
		}
	}
	return failure.NewRedactor(secrets...)
}

// authMethod does what gogit.Client does with the same options, which it keeps to itself.
func authMethod(options *git.AuthOptions) (transport.AuthMethod, error) {
	switch {
	case options.Transport == git.SSH:
		keys, err := gitssh.NewPublicKeys(options.Username, options.Identity, options.Password)
		if err != nil {
			return nil, failure.New(failure.InvalidInput, "cannot use the repository's login: its Secret's identity is not a usable SSH private key, or its password does not open it")
		}
		callback, algorithms, err := knownhosts.New(options.KnownHosts)
		if err != nil {
			return nil, failure.New(failure.InvalidInput, "cannot use the repository's login: its Secret's known_hosts is malformed: each line must look like: host ssh-ed25519 AAAA...")
		}
		keys.HostKeyCallback = callback
		return &sshKeys{PublicKeys: keys, algorithms: algorithms}, nil
	case options.BearerToken != "":
		return &githttp.TokenAuth{Token: options.BearerToken}, nil
	case options.Username != "" || options.Password != "":
		return &githttp.BasicAuth{Username: options.Username, Password: options.Password}, nil
	default:
		return nil, nil
	}
}

// sshKeys logs in with a key, and asks the server for a host key of a kind that known_hosts has.
type sshKeys struct {
	*gitssh.PublicKeys
	algorithms []string
}

// dialTimeout is how long to wait for an SSH server's TCP connection.
const dialTimeout = 30 * time.Second

func (k *sshKeys) ClientConfig() (*ssh.ClientConfig, error) {
	config, err := k.PublicKeys.ClientConfig()
	if err != nil {
		return nil, err
	}
	config.Timeout = dialTimeout
	config.KeyExchanges = git.KexAlgos
	config.HostKeyAlgorithms = nil
	for _, algorithm := range k.algorithms {
		if algorithm == ssh.KeyAlgoRSA { // one key, of which the signature with SHA-1 is the last resort
			config.HostKeyAlgorithms = append(config.HostKeyAlgorithms, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		config.HostKeyAlgorithms = append(config.HostKeyAlgorithms, algorithm)
	}
	if len(git.HostKeyAlgos) > 0 {
		config.HostKeyAlgorithms = git.HostKeyAlgos
	}
	return config, nil
}

// opened is a session with what it advertises.
type opened[S transport.Session] struct {
	session    S
	advertised *packp.AdvRefs
	err        error
}

// open starts a session and reads the server's references. It returns when
// the context ends even if the server says nothing: go-git's SSH handshake
// knows no context, so the attempt is then left behind, to end with its
// connection.
func open[S transport.Session](ctx context.Context, c *Connection, start func(*transport.Endpoint, transport.AuthMethod) (S, error)) (S, *packp.AdvRefs, error) {
	endpoint := c.endpoint
	done := make(chan opened[S], 1)
	go func() {
		session, err := start(&endpoint, c.auth)
		if err != nil {
			done <- opened[S]{err: err}
			return
		}
		advertised, err := session.AdvertisedReferencesContext(ctx)
		if err != nil {
			_ = session.Close() // its error is the one at hand
		}
		done <- opened[S]{session, advertised, err}
	}()
	select {
	case o := <-done:
		return o.session, o.advertised, o.err
	case <-ctx.Done():
		var none S
		return none, nil, ctx.Err()
	}
}
