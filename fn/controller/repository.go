package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/fluxcd/pkg/auth"
	authutils "github.com/fluxcd/pkg/auth/utils"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/restore"
)

// reach sets the target of the commit, with the login of the GitRepository. A child process reads what
// the Secrets hold.
func (w *work) reach(ctx context.Context, place *commit.Place) error {
	repository := w.state.Repository
	place.Target = publish.Target{URL: repository.Spec.URL, Branch: restore.BranchOf(w.restore, repository)}
	if t := repository.Spec.Timeout; t != nil && t.Duration > 0 {
		place.Target.Timeout = min(t.Duration, w.Children.Limits.Time)
	}
	if push := w.restore.Spec.Git.Push; push != nil {
		place.Target.PushBranch, place.Target.Refspec, place.Target.PushOptions = push.Branch, push.Refspec, push.Options
	}
	if ref := repository.Spec.ProxySecretRef; ref != nil {
		secret, err := w.secretOf(ctx, repository, ref.Name)
		if err != nil {
			return err
		}
		if place.Proxy = secret.Data; place.Proxy == nil {
			place.Proxy = map[string][]byte{} // a proxy without an address, and not none
		}
	}
	if ref := repository.Spec.SecretRef; ref != nil {
		secret, err := w.secretOf(ctx, repository, ref.Name)
		if err != nil {
			return err
		}
		place.Target.Auth = secret.Data
	}
	return w.login(ctx, repository, place)
}

// secretOf reads a Secret of a GitRepository.
func (w *work) secretOf(ctx context.Context, repository *sourcev1.GitRepository, name string) (*corev1.Secret, error) {
	secret, err := find[corev1.Secret](ctx, w.Client, repository.Namespace, name)
	switch {
	case err != nil || secret != nil:
		return secret, err
	case repository.Namespace != w.restore.Namespace:
		return nil, restore.Failing(v1alpha1.ReasonGitFailed, "A Secret of GitRepository %q does not exist; ask the owner of namespace %q", repository.Name, repository.Namespace)
	}
	return nil, restore.Failing(v1alpha1.ReasonGitFailed, "Secret %q of GitRepository %q does not exist; create it", name, repository.Name)
}

// login gets the login of a cloud provider. It was never tested with a real one.
func (w *work) login(ctx context.Context, repository *sourcev1.GitRepository, place *commit.Place) error {
	switch repository.Spec.Provider {
	case "", sourcev1.GitProviderGeneric:
		return nil
	case sourcev1.GitProviderGitHub:
		if repository.Spec.SecretRef == nil {
			return restore.Stalled(v1alpha1.ReasonGitFailed, "GitRepository %q has provider github and no spec.secretRef; name a Secret with the data of a GitHub App there", repository.Name)
		}
		place.GitHubApp = true // whose host the Secret names: a child process logs in
		return nil
	}
	address, err := w.mayLogIn(repository)
	if err != nil {
		return err
	}
	options := []auth.Option{auth.WithClient(w.Client), auth.WithServiceAccountNamespace(repository.Namespace), auth.WithGitURL(*address)}
	if place.Proxy != nil {
		proxy, err := publish.ProxyURL(place.Proxy)
		if err != nil {
			return restore.Failing(v1alpha1.ReasonGitFailed, "GitRepository %q: %v", repository.Name, err)
		}
		options = append(options, auth.WithProxyURL(*proxy))
	}
	got, err := authutils.GetGitCredentials(ctx, repository.Spec.Provider, options...)
	if err != nil && place.Proxy != nil {
		err = errors.New("the provider does not answer through the proxy, or refuses") // its own words may hold the proxy's password
	}
	if err != nil {
		return fmt.Errorf("cannot log in by provider %q for GitRepository %q: %w", repository.Spec.Provider, repository.Name, err)
	}
	setLogin(&place.Target, map[string]string{"username": got.Username, "password": got.Password, "bearerToken": got.BearerToken})
	return nil
}

// mayLogIn returns the URL where the controller may log in as itself.
func (w *work) mayLogIn(repository *sourcev1.GitRepository) (*url.URL, error) {
	address, err := url.Parse(repository.Spec.URL)
	switch {
	case err != nil:
		return nil, restore.Stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q has a malformed spec.url; correct it", repository.Name)
	case repository.Spec.ServiceAccountName != "":
		return nil, restore.Stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q logs in as a ServiceAccount (spec.serviceAccountName), which restores cannot do; use a spec.secretRef", repository.Name)
	case !w.Identities.allow(repository.Namespace, address):
		return nil, restore.Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q has provider %s, so that the controller would log in as itself, which its flags do not allow for namespace %q at this URL; use provider generic with a spec.secretRef, or have the administrators of the controller add the URL to --provider-login",
			repository.Name, repository.Spec.Provider, repository.Namespace)
	}
	return address, nil
}

// setLogin sets a login under the keys of Flux' Secrets.
func setLogin(t *publish.Target, login map[string]string) {
	data := map[string][]byte{}
	maps.Copy(data, t.Auth)
	for key, value := range login {
		if value != "" {
			data[key] = []byte(value)
		}
	}
	t.Auth = data
}

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
