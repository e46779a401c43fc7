package controller

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Identity lets the GitRepositories of one namespace log in below one URL as the controller itself, by
// the workload identity that a cloud provider gives it. Nobody else may: who chooses a URL could have
// the controller's own token sent there, or write with the controller's rights.
type Identity struct {
	Namespace string
	Host      string // maybe with a port
	Path      string // clean, "/" for all of the host
}

// Identities are all that the platform allows.
type Identities []Identity

// ParseIdentities parses texts such as "flux-system=https://dev.azure.com/contoso".
func ParseIdentities(texts []string) (Identities, error) {
	var out Identities
	for _, text := range texts {
		namespace, address, _ := strings.Cut(text, "=")
		parsed, err := url.Parse(address)
		if err != nil || len(validation.IsDNS1123Label(namespace)) > 0 || parsed.Scheme != "https" || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
			return nil, fmt.Errorf("cannot use the identity %q: it must look like <namespace>=https://<host>/<path>", text)
		}
		out = append(out, Identity{namespace, strings.ToLower(parsed.Host), path.Clean("/" + parsed.Path)})
	}
	return out, nil
}

// allow reports whether the GitRepositories of a namespace may log in at an address as the controller.
func (i Identities) allow(namespace string, address *url.URL) bool {
	return slices.ContainsFunc(i, func(may Identity) bool {
		return may.Namespace == namespace && address.Scheme == "https" && address.User == nil && strings.ToLower(address.Host) == may.Host &&
			!slices.Contains(strings.Split(address.Path, "/"), "..") && isBelow(path.Clean("/"+address.Path), may.Path)
	})
}

// isBelow reports whether the clean absolute path name is folder or lies below it.
func isBelow(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, strings.TrimSuffix(folder, "/")+"/")
}
