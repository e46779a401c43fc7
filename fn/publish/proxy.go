package publish

import (
	"net/url"
	"slices"
)

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
