package commit_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	fluxssh "github.com/fluxcd/pkg/ssh"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/commit"
	"threescale.dev/backup/fn/commit/githubapp"
	"threescale.dev/backup/fn/publish"
	"threescale.dev/backup/test/canary"
	"threescale.dev/backup/test/gitserver"
)

// TestCanaries: no malformed Secret, of any kind that a restore reads, is quoted by what is said of it.
func TestCanaries(t *testing.T) {
	t.Setenv("NO_PROXY", "")
	server, err := gitserver.Start(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	repository, err := server.CreateRepository(t.Context(), "apps", "main", "")
	require.NoError(t, err)
	_, err = repository.Push(t.Context(), gitserver.Change{Branch: "main", Message: "x", Files: map[string][]byte{"README.md": []byte("x")}})
	require.NoError(t, err)
	app := httptest.NewServer(gitserver.Silent())
	app.Close() // nobody listens
	pair, err := fluxssh.NewRSAGenerator(2048).Generate()
	require.NoError(t, err)
	target := func(url string, auth map[string][]byte) publish.Target {
		return publish.Target{URL: url, Branch: "main", Auth: auth, Timeout: 10 * time.Second}
	}
	kinds := map[string]struct {
		data   map[string][]byte
		beside []string
		place  func(data map[string][]byte) commit.Place
	}{
		"HTTPS": {server.TLSAuth(), []string{"bearerToken", "ca.crt", "caFile", "tls.crt", "tls.key", "certFile", "keyFile"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTPS(), data)}
		}},
		"HTTP": {server.BasicAuth(), []string{"bearerToken"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTP(), data)}
		}},
		"SSH": {server.SSHAuth(), []string{"password"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.SSH(), data)}
		}},
		"Proxy": {map[string][]byte{"address": []byte("http://127.0.0.1:1")}, []string{"username", "password"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTP(), server.BasicAuth()), Proxy: data}
		}},
		"ProxyOfSSH": {map[string][]byte{"address": []byte("socks5://127.0.0.1:1")}, []string{"username", "password"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.SSH(), server.SSHAuth()), Proxy: data}
		}},
		"GitHubApp": {map[string][]byte{"githubAppID": []byte("1"), "githubAppInstallationID": []byte("2"), "githubAppPrivateKey": pair.PrivateKey, "githubAppBaseURL": []byte(app.URL)}, []string{"githubAppInstallationOwner"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTP(), data), GitHubApp: true}
		}},
		"SignedBySSH": {map[string][]byte{"identity": pair.PrivateKey}, []string{"password"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTP(), server.BasicAuth()), Signing: &commit.SigningKey{SSH: true, Data: data}}
		}},
		"SignedByOpenPGP": {map[string][]byte{"git.asc": []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxVgEZ\n-----END PGP PRIVATE KEY BLOCK-----\n")}, []string{"passphrase"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTP(), server.BasicAuth()), Signing: &commit.SigningKey{Data: data}}
		}},
		"URL": {map[string][]byte{"username": []byte("git"), "password": []byte("password")}, []string{"before"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(string(data["before"])+"http://"+string(data["username"])+":"+string(data["password"])+"@127.0.0.1:1/r.git", nil)}
		}},
		"Recipients": {map[string][]byte{"age": []byte("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")}, []string{"AGE-SECRET-KEY-1"}, func(data map[string][]byte) commit.Place {
			return commit.Place{Target: target(repository.HTTP(), server.BasicAuth()), Recipients: []string{string(data["age"]), string(data["AGE-SECRET-KEY-1"])}}
		}},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for _, malformed := range canary.Cases(kind.data, kind.beside...) {
				place := kind.place(malformed.Data)
				if name == "URL" && strings.Contains(strings.TrimSuffix(strings.TrimPrefix(place.Target.URL, "http://"), "/r.git"), "/") {
					continue // what is behind a slash is no login
				}
				place.Root, place.Name, place.Namespace = ".", "dr", "3scale"
				answer := commit.Worker{GitHubApp: githubapp.Login}.Do(t.Context(), commit.Request{Inspect: &place})
				failures := []*commit.Failure{answer.Failure}
				if answer.Branch != nil {
					failures = append(failures, answer.Branch.Problem, answer.Branch.Unsigned)
				}
				for _, failure := range failures {
					if failure == nil {
						continue
					}
					failed++
					assert.Empty(t, canary.Found(failure.Message), "%s: %s", malformed.Name, failure.Message)
					assert.NotEqual(t, commit.Crashed, failure.Kind, "%s: %s", malformed.Name, failure.Message)
				}
			}
			assert.Greater(t, failed, 10, "most of them cannot be used")
		})
	}
}
