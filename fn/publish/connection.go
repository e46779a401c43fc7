package publish

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
)

// connection is how to reach one repository: no socket is open between two requests.
type connection struct {
	endpoint  transport.Endpoint // copied for each session: a redirect changes it
	auth      transport.AuthMethod
	transport transport.Transport
	shown     string // the URL without credentials
	redact    redactor
}

// connect checks a target's URL and login. Nothing is sent yet.
func connect(target Target) (*connection, error) {
	parsed, err := url.Parse(target.URL)
	if err != nil || parsed.Host == "" {
		return nil, fail(InvalidInput, "cannot use the repository's URL: it must look like https://host/path, http://host/path or ssh://git@host/path")
	}
	switch parsed.Scheme {
	case "http", "https", "ssh":
	default:
		return nil, fail(InvalidInput, "cannot use the repository's URL: its scheme must be https, http or ssh") // a user name without one looks like one
	}
	c := &connection{redact: redactorFor(parsed, target)}
	options, err := git.NewAuthOptions(*parsed, target.Auth)
	if err != nil { // as below, its own words may quote the Secret
		return nil, fail(InvalidInput, "cannot use the repository's login: %s", neededFor(parsed.Scheme))
	}
	if options.BearerToken != "" && (options.Username != "" || options.Password != "") {
		return nil, fail(InvalidInput, "cannot use the repository's login: it has both a bearer token and a user name or password; remove one")
	}
	parsed.User = nil // the login is in options
	c.shown = parsed.String()
	endpoint, err := transport.NewEndpoint(c.shown)
	if err != nil {
		return nil, fail(InvalidInput, "cannot use the URL %q: it is malformed", c.shown)
	}
	endpoint.CaBundle, endpoint.ClientCert, endpoint.ClientKey = options.CAFile, options.ClientCert, options.ClientKey
	if options.Transport == git.SSH {
		endpoint.User = options.Username
	}
	if proxy := target.ProxyURL; proxy != nil {
		password, _ := proxy.User.Password()
		bare := *proxy
		bare.User = nil
		endpoint.Proxy = transport.ProxyOptions{URL: bare.String(), Username: proxy.User.Username(), Password: password}
	}
	if c.auth, err = authMethod(options); err != nil {
		return nil, err
	}
	if c.transport, err = client.NewClient(endpoint); err != nil {
		return nil, fail(InvalidInput, "cannot use the URL %q: its ca.crt, tls.crt or tls.key, or its proxy, cannot be used", c.shown)
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

func redactorFor(parsed *url.URL, target Target) redactor {
	password, _ := parsed.User.Password()
	secrets := []string{password, string(target.Auth["password"]), string(target.Auth["bearerToken"])}
	names := []string{parsed.User.Username(), string(target.Auth["username"])}
	if target.ProxyURL != nil {
		proxyPassword, _ := target.ProxyURL.User.Password()
		secrets = append(secrets, proxyPassword, target.ProxyURL.Host, target.ProxyURL.Hostname())
		names = append(names, target.ProxyURL.User.Username())
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
	return newRedactor(secrets...)
}

// authMethod does what gogit.Client does with the same options, which it keeps to itself.
func authMethod(options *git.AuthOptions) (transport.AuthMethod, error) {
	switch {
	case options.Transport == git.SSH:
		keys, err := gitssh.NewPublicKeys(options.Username, options.Identity, options.Password)
		if err != nil {
			return nil, fail(InvalidInput, "cannot use the repository's login: its Secret's identity is not a usable SSH private key, or its password does not open it")
		}
		callback, algorithms, err := knownhosts.New(options.KnownHosts)
		if err != nil {
			return nil, fail(InvalidInput, "cannot use the repository's login: its Secret's known_hosts is malformed: each line must look like: host ssh-ed25519 AAAA...")
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
func open[S transport.Session](ctx context.Context, c *connection, start func(*transport.Endpoint, transport.AuthMethod) (S, error)) (S, *packp.AdvRefs, error) {
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
