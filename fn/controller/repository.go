package controller

import (
	"context"
	"fmt"
	"maps"
	"net/url"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/auth/githubapp"
	authutils "github.com/fluxcd/pkg/auth/utils"
	"github.com/fluxcd/pkg/runtime/secrets"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/fn/restore"
)

// target is where the commit goes, with the logins that the GitRepository has.
func (w *work) target(ctx context.Context) (publish.Target, error) {
	repository := w.observed.Repository
	t := publish.Target{URL: repository.Spec.URL, Branch: restore.BranchOf(w.restore, repository)}
	if repository.Spec.Timeout != nil {
		t.Timeout = repository.Spec.Timeout.Duration
	}
	if push := w.restore.Spec.Git.Push; push != nil {
		t.PushBranch, t.Refspec, t.PushOptions = push.Branch, push.Refspec, push.Options
	}
	if ref := repository.Spec.ProxySecretRef; ref != nil {
		proxy, err := secrets.ProxyURLFromSecretRef(ctx, w.Client, types.NamespacedName{Namespace: repository.Namespace, Name: ref.Name})
		if err != nil {
			return t, fmt.Errorf("cannot read the proxy of GitRepository %q: %w", repository.Name, err)
		}
		t.ProxyURL = proxy
	}
	var secret *corev1.Secret
	if ref := repository.Spec.SecretRef; ref != nil {
		secret = &corev1.Secret{}
		ok, err := get(ctx, w.Client, repository.Namespace, ref.Name, secret)
		if err != nil {
			return t, err
		}
		if !ok {
			return t, &restore.Problem{Reason: v1alpha1.ReasonGitFailed, Message: fmt.Sprintf("Secret %q of GitRepository %q does not exist in namespace %q; create it", ref.Name, repository.Name, repository.Namespace)}
		}
		t.Auth = secret.Data
	}
	return t, w.login(ctx, repository, secret, &t)
}

// login gets the login of a cloud provider. It is not tested against any.
func (w *work) login(ctx context.Context, repository *sourcev1.GitRepository, secret *corev1.Secret, t *publish.Target) error {
	switch repository.Spec.Provider {
	case "", sourcev1.GitProviderGeneric:
		return nil
	case sourcev1.GitProviderGitHub:
		if secret == nil {
			return &restore.Problem{Reason: v1alpha1.ReasonGitFailed, Message: fmt.Sprintf("GitRepository %q has provider github and no spec.secretRef with the data of a GitHub App", repository.Name), Terminal: true}
		}
		username, password, err := githubapp.GetCredentials(ctx, githubapp.WithAppData(secret.Data), githubapp.WithProxyURL(t.ProxyURL))
		if err != nil {
			return fmt.Errorf("cannot log in to GitHub for GitRepository %q: %w", repository.Name, err)
		}
		setLogin(t, map[string]string{"username": username, "password": password})
		return nil
	}
	address, err := url.Parse(repository.Spec.URL)
	if err != nil {
		return &restore.Problem{Reason: v1alpha1.ReasonRepositoryUnusable, Message: fmt.Sprintf("GitRepository %q has a malformed spec.url", repository.Name), Terminal: true}
	}
	if name := repository.Spec.ServiceAccountName; name != "" {
		return &restore.Problem{
			Reason:   v1alpha1.ReasonRepositoryUnusable,
			Message:  fmt.Sprintf("GitRepository %q logs in as ServiceAccount %q (spec.serviceAccountName), which restores cannot do; use a spec.secretRef, or leave it out: the controller then logs in with a workload identity of its own", repository.Name, name),
			Terminal: true,
		}
	}
	options := []auth.Option{auth.WithClient(w.Client), auth.WithServiceAccountNamespace(repository.Namespace), auth.WithGitURL(*address)}
	if t.ProxyURL != nil {
		options = append(options, auth.WithProxyURL(*t.ProxyURL))
	}
	got, err := authutils.GetGitCredentials(ctx, repository.Spec.Provider, options...)
	if err != nil {
		return fmt.Errorf("cannot log in by provider %q for GitRepository %q: %w", repository.Spec.Provider, repository.Name, err)
	}
	setLogin(t, map[string]string{"username": got.Username, "password": got.Password, "bearerToken": got.BearerToken})
	return nil
}

// setLogin puts a login under the keys that a Secret of Flux has.
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
