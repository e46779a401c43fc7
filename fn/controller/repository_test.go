package controller

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/restore"
)

// TestLoginRefuses: what only a change of the GitRepository mends is not tried again, and the controller's own identity goes nowhere
// that the platform does not name.
func TestLoginRefuses(t *testing.T) {
	identities, err := ParseIdentities([]string{"flux-system=https://dev.azure.com/contoso", "flux-system=https://git.example:8443/"})
	require.NoError(t, err)
	azure := func(url string) sourcev1.GitRepositorySpec {
		return sourcev1.GitRepositorySpec{Provider: "azure", URL: url}
	}
	withAccount := azure("https://dev.azure.com/contoso/p/_git/r")
	withAccount.ServiceAccountName = "pusher"
	for name, tc := range map[string]struct {
		reason     string
		namespace  string
		spec       sourcev1.GitRepositorySpec
		wantReason string
		message    string
	}{
		"GitHubWithoutSecret": {"the App's key is in it", "flux-system", sourcev1.GitRepositorySpec{Provider: "github"}, v1alpha1.ReasonGitFailed, "no spec.secretRef"},
		"MalformedURL":        {"the login is for a host", "flux-system", azure("https://[::1"), v1alpha1.ReasonRepositoryUnusable, "malformed spec.url"},
		"ServiceAccount":      {"it needs a token of an account that is not the controller's", "flux-system", withAccount, v1alpha1.ReasonRepositoryUnusable, "as a ServiceAccount (spec.serviceAccountName)"},
		"OtherHost":           {"the token would go to whoever runs it", "flux-system", azure("https://evil.example/contoso/p/_git/r"), v1alpha1.ReasonAccessDenied, "--provider-login"},
		"OtherNamespace":      {"a tenant would write with the controller's rights", "tenant", azure("https://dev.azure.com/contoso/p/_git/r"), v1alpha1.ReasonAccessDenied, `namespace "tenant"`},
		"OtherOrganisation":   {"a path is not another that begins so", "flux-system", azure("https://dev.azure.com/contoso-evil/p/_git/r"), v1alpha1.ReasonAccessDenied, "--provider-login"},
		"Dots":                {"they lead out of it", "flux-system", azure("https://dev.azure.com/contoso/../evil/p/_git/r"), v1alpha1.ReasonAccessDenied, "--provider-login"},
		"EncodedDots":         {"so do these", "flux-system", azure("https://dev.azure.com/contoso/%2e%2e/evil/p/_git/r"), v1alpha1.ReasonAccessDenied, "--provider-login"},
		"PlainHTTP":           {"anybody on the way would have the token", "flux-system", azure("http://dev.azure.com/contoso/p/_git/r"), v1alpha1.ReasonAccessDenied, "--provider-login"},
		"UserInfo":            {"what is before the @ is no host", "flux-system", azure("https://dev.azure.com@evil.example/contoso/p"), v1alpha1.ReasonAccessDenied, "--provider-login"},
		"OtherPort":           {"another server", "flux-system", azure("https://git.example/contoso/p"), v1alpha1.ReasonAccessDenied, "--provider-login"},
	} {
		t.Run(name, func(t *testing.T) {
			repository := &sourcev1.GitRepository{Spec: tc.spec}
			repository.Name, repository.Namespace = "apps", tc.namespace
			w := &work{Reconciler: &Reconciler{Identities: identities}}
			err := w.login(t.Context(), repository, &commit.Place{})
			var problem *restore.Problem
			require.ErrorAs(t, err, &problem, tc.reason)
			assert.True(t, problem.Terminal)
			assert.Equal(t, tc.wantReason, problem.Reason)
			assert.Contains(t, problem.Message, tc.message)
			assert.Contains(t, problem.Message, `GitRepository "apps"`)
		})
	}
}

// TestIdentities: what the platform names, and what lies below it, is let in; nothing is by default.
func TestIdentities(t *testing.T) {
	identities, err := ParseIdentities([]string{"flux-system=https://Dev.Azure.com/contoso/"})
	require.NoError(t, err)
	repository := &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{Provider: "azure"}}
	repository.Namespace = "flux-system"
	for _, address := range []string{"https://dev.azure.com/contoso/p/_git/r", "https://dev.azure.com/contoso", "https://DEV.azure.com/contoso//p"} {
		repository.Spec.URL = address
		_, err := (&work{Reconciler: &Reconciler{Identities: identities}}).mayLogIn(repository)
		assert.NoError(t, err, address)
		_, err = (&work{Reconciler: &Reconciler{}}).mayLogIn(repository)
		assert.Error(t, err, address)
	}
	for _, malformed := range []string{"", "https://dev.azure.com/contoso", "flux-system=", "flux-system=http://dev.azure.com/", "flux-system=https://user@dev.azure.com/", "flux-system=https:///contoso", "Flux=https://dev.azure.com", "a=https://h/?q"} {
		_, err := ParseIdentities([]string{malformed})
		assert.Error(t, err, malformed)
	}
}

// TestGitHubAppIsReadByAChild: the Secret names the host, which is anybody's.
func TestGitHubAppIsReadByAChild(t *testing.T) {
	repository := &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{Provider: "github", SecretRef: &meta.LocalObjectReference{Name: "app"}}}
	place := &commit.Place{}
	require.NoError(t, (&work{Reconciler: &Reconciler{}}).login(t.Context(), repository, place))
	assert.True(t, place.GitHubApp)
}

// FuzzIdentities: who is let in asks for the very server that the platform names, and for a path below its path, by
// whatever way it is written.
func FuzzIdentities(f *testing.F) {
	f.Add("flux-system=https://dev.azure.com/contoso", "flux-system", "https://DEV.azure.com/contoso//p/_git/r")
	f.Add("flux-system=https://git.example:8443/", "flux-system", "https://git.example:8443/../x")
	f.Add("flux-system=https://dev.azure.com/contoso/..", "flux-system", "https://dev.azure.com@evil.example/contoso")
	f.Add("a=https://[::1]/%2e%2e/a%2fb", "a", "https://[::1]/a%2Fb/c")
	f.Add("a=https://h/a/./b", "a", "https://h/a/b\\..\\c")
	f.Fuzz(func(t *testing.T, text, namespace, address string) {
		identities, err := ParseIdentities([]string{text})
		if err != nil {
			return
		}
		require.Len(t, identities, 1)
		may := identities[0]
		assert.True(t, strings.HasPrefix(may.Path, "/"))
		assert.NotContains(t, strings.Split(may.Path, "/"), "..")
		again, err := ParseIdentities([]string{may.Namespace + "=" + (&url.URL{Scheme: "https", Host: may.Host, Path: may.Path}).String()})
		require.NoError(t, err)
		assert.Equal(t, identities, again, "what is told of it means the same")
		asked, err := url.Parse(address)
		if err != nil {
			return
		}
		within := asked.Scheme == "https" && asked.User == nil && namespace == may.Namespace && isWithin(steps(asked.Path), steps(may.Path))
		if got := identities.allow(namespace, asked); got {
			assert.True(t, within && strings.EqualFold(asked.Host, may.Host))
		} else {
			assert.False(t, within && asked.Host == may.Host)
		}
	})
}

// steps returns the names on the way that a path leads, nil if it leads back anywhere.
func steps(path string) []string {
	out := []string{}
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case "", ".":
		case "..":
			return nil
		default:
			out = append(out, name)
		}
	}
	return out
}

// isWithin reports whether a way goes through a folder, or ends there.
func isWithin(way, folder []string) bool {
	return way != nil && len(way) >= len(folder) && slices.Equal(way[:len(folder)], folder)
}
