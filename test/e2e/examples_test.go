//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"threescale.dev/backup/test/gitserver"
)

// An example is applied as it is shipped, but for what is particular to a
// place: its namespaces, the URL of its repository, its age recipient.
type example struct {
	*delivery
	name string
	// namespaces by those of the example.
	namespaces map[string]string
	url        string
}

// newExample makes a repository and what the comments of an example say has to
// be there, in the namespace of its GitRepository.
func (w *tenant) newExample(name string, namespaces map[string]string, change ...func(*example, map[string][]byte)) *example {
	w.t.Helper()
	e := &example{delivery: w.newRepository(), name: name, namespaces: namespaces}
	e.url = e.repository.HTTP()
	auth := flux.git.BasicAuth()
	for _, f := range change {
		f(e, auth)
	}
	owner := e.namespaces["flux-system"]
	if owner == "" {
		owner = w.namespace
	} else {
		w.makeNamespace(owner)
	}
	w.makeSecretIn(owner, "git-login", auth)
	w.makeSecretIn(owner, "sops-age", map[string][]byte{"age.agekey": []byte(e.identity.String() + "\n")})
	return e
}

// overSSH has an example reach its repository by SSH.
func overSSH(e *example, auth map[string][]byte) {
	clear(auth)
	for key, value := range flux.git.SSHAuth() {
		auth[key] = value
	}
	e.url = e.repository.SSH()
}

// overHTTPS has an example reach its repository by HTTPS with an authority of its own.
func overHTTPS(e *example, auth map[string][]byte) {
	for key, value := range flux.git.TLSAuth() {
		auth[key] = value
	}
	e.url = e.repository.HTTPS()
}

// apply applies a file of the example, as the administrator or as the tenant.
func (e *example) apply(file string) {
	e.t.Helper()
	text := e.placed(file)
	if file != "restore.yaml" {
		require.NoError(e.t, e.c.ApplyYAML(e.t.Context(), []byte(text)))
		return
	}
	require.NoError(e.t, e.tenant.apply(text))
}

// placed is a file of the example as it is for this place.
func (e *example) placed(file string) string {
	e.t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", "restore", e.name, file))
	require.NoError(e.t, err)
	data = bytes.ReplaceAll(data, []byte("https://git.example.com/platform/apps.git"), []byte(e.url))
	data = bytes.ReplaceAll(data, []byte("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"), []byte(e.identity.Recipient().String()))
	var out strings.Builder
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var object map[string]any
		if err := decoder.Decode(&object); err == io.EOF {
			return out.String()
		} else {
			require.NoError(e.t, err)
		}
		e.place(object)
		text, err := sigsyaml.Marshal(object)
		require.NoError(e.t, err)
		fmt.Fprintf(&out, "---\n%s", text)
	}
}

// place replaces namespaces wherever an object names one.
func (e *example) place(value any) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			e.place(element)
		}
	case map[string]any:
		for key, field := range value {
			text, isText := field.(string)
			switch {
			case key == "namespace" && isText:
				require.Contains(e.t, e.namespaces, text)
				value[key] = e.namespaces[text]
			case key == "backup.threescale.dev/writers":
				from, path, _ := strings.Cut(text, "=")
				value[key] = e.namespaces[from] + "=" + path
			default:
				e.place(field)
			}
		}
		if value["kind"] == "Namespace" {
			metadata := value["metadata"].(map[string]any)
			metadata["name"] = e.namespaces[metadata["name"].(string)]
		}
	}
}

// inPlace has all of an example in the namespace of the installation.
func (w *tenant) inPlace() map[string]string { return map[string]string{"3scale": w.namespace} }

// besideFlux has Flux' objects of an example in a namespace of their own.
func (w *tenant) besideFlux() map[string]string {
	return map[string]string{"3scale": w.namespace, "flux-system": w.namespace + "-flux"}
}

// assertRestored looks at everything that a restore is to bring back, but for
// the named Secrets: what is in them is the test's.
func (e *example) assertRestored(kept *installation, commits []gitserver.Commit, but ...string) {
	e.t.Helper()
	for _, name := range but {
		delete(kept.secrets, name)
	}
	got, err := e.restoreOf(e.t.Context(), "dr")
	require.NoError(e.t, err)
	e.assertCommit(got, commits[0])
	e.assertSecrets(kept)
	e.assertFiles(kept)
	e.assertNothingStays()
}

// onlyCommit is the one commit beside the maintainer's.
func (e *example) onlyCommit(t *testing.T, branch string) []gitserver.Commit {
	t.Helper()
	commits, err := e.repository.Commits(t.Context(), branch)
	require.NoError(t, err)
	require.Len(t, commits, 2)
	return commits[:1]
}
