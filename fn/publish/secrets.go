package publish

import (
	"bytes"
	"errors"
	"net/url"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/fluxcd/pkg/git/signature"
)

// OpenPGPSigner makes a signer of a Secret's data: an armored private key at
// git.asc and, if it is encrypted, its passphrase at passphrase.
func OpenPGPSigner(data map[string][]byte) (signature.Signer, error) {
	key := data["git.asc"]
	if len(key) == 0 {
		return nil, fail(InvalidInput, "cannot use the signing key: the Secret has no git.asc")
	}
	entities, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(key))
	if err != nil {
		return nil, fail(InvalidInput, "cannot use the signing key: git.asc is not an armored OpenPGP key")
	}
	if len(entities) != 1 {
		return nil, fail(InvalidInput, "cannot use the signing key: git.asc holds %d keys, not one", len(entities))
	}
	entity := entities[0]
	if entity.PrivateKey == nil {
		return nil, fail(InvalidInput, "cannot use the signing key: git.asc holds a public key, not a private one")
	}
	if err := entity.DecryptPrivateKeys(data["passphrase"]); err != nil {
		return nil, fail(InvalidInput, "cannot use the signing key: the Secret's passphrase does not open git.asc")
	}
	return signature.NewOpenPGPSigner(entity)
}

// SSHSigner makes a signer of a Secret's data: an SSH private key at identity
// and, if it is encrypted, its passphrase at password.
func SSHSigner(data map[string][]byte) (signature.Signer, error) {
	key := data["identity"]
	if len(key) == 0 {
		return nil, fail(InvalidInput, "cannot use the signing key: the Secret has no identity")
	}
	signer, err := signature.NewSSHSigner(key, data["password"])
	switch {
	case errors.Is(err, signature.ErrSSHPassphraseRequired):
		return nil, fail(InvalidInput, "cannot use the signing key: it is encrypted, and the Secret has no password")
	case err != nil:
		return nil, fail(InvalidInput, "cannot use the signing key: the Secret's identity is not a usable SSH private key, or its password does not open it")
	}
	return signer, nil
}

// ProxyURL reads a Secret's data as a GitRepository's proxySecretRef names it: address, and maybe username and password.
// No error repeats any of it, since the address may hold a password.
func ProxyURL(data map[string][]byte) (*url.URL, error) {
	const longest = 2048
	address := string(data["address"])
	if address == "" || len(address) > longest {
		return nil, fail(InvalidInput, "cannot use the proxy: its Secret has no address, or one of more than %d bytes", longest)
	}
	proxy, err := url.Parse(address)
	if err != nil || proxy.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, proxy.Scheme) {
		return nil, fail(InvalidInput, "cannot use the proxy: its Secret's address must look like http://host:port, https://host:port or socks5://host:port")
	}
	username, named := data["username"]
	password, known := data["password"]
	switch {
	case named && known:
		proxy.User = url.UserPassword(string(username), string(password))
	case named:
		proxy.User = url.User(string(username))
	}
	return proxy, nil
}
