// Package githubapp logs in to GitHub as one of its Apps. It is apart from package commit, which the command line has too: the client of
// GitHub's interface is large, and only the controller calls it.
package githubapp

import (
	"context"
	"net/url"

	"github.com/fluxcd/pkg/auth/githubapp"
)

// Login is a [threescale.dev/backup/fn/commit.Login] by the data of a GitHub App, which Flux documents for a GitRepository with provider
// github. The error may quote the App's key.
func Login(ctx context.Context, data map[string][]byte, proxy *url.URL) (username, password string, err error) {
	return githubapp.GetCredentials(ctx, githubapp.WithAppData(data), githubapp.WithProxyURL(proxy))
}
