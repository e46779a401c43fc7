//go:build e2e

package e2e

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"threescale.dev/backup/test/examples"
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
	owner := e.namespaces[examples.FluxNamespace]
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
	maps.Copy(auth, flux.git.SSHAuth())
	e.url = e.repository.SSH()
}

// overHTTPS has an example reach its repository by HTTPS with an authority of its own.
func overHTTPS(e *example, auth map[string][]byte) {
	maps.Copy(auth, flux.git.TLSAuth())
	e.url = e.repository.HTTPS()
}

// apply applies those objects of the example that a function picks, as the administrator.
func (e *example) apply(pick func(*unstructured.Unstructured) bool) {
	e.t.Helper()
	for _, object := range e.objects() {
		if pick(object) {
			require.NoError(e.t, e.c.ApplyYAML(e.t.Context(), []byte(asYAML(e.t, object))))
		}
	}
}

// allButRestore picks what is there before the restore.
func allButRestore(object *unstructured.Unstructured) bool {
	return object.GetKind() != "ThreeScaleRestore"
}

// begin applies all of the example, the restore as the tenant, with a change of its YAML.
func (e *example) begin(change ...string) {
	e.t.Helper()
	e.apply(allButRestore)
	e.restore(change...)
}

// restore applies the restore of the example as the tenant, with texts of its
// YAML replaced by others.
func (e *example) restore(change ...string) {
	e.t.Helper()
	for _, object := range e.objects() {
		if !allButRestore(object) {
			require.NoError(e.t, e.tenant.apply(strings.NewReplacer(change...).Replace(asYAML(e.t, object))))
		}
	}
}

// objects of the example, as they are for this place.
func (e *example) objects() []*unstructured.Unstructured {
	e.t.Helper()
	objects, err := examples.Load("../..", e.name)
	require.NoError(e.t, err)
	examples.Place(objects, e.namespaces, e.url, e.identity.Recipient().String())
	return objects
}

func asYAML(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	require.NoError(t, err)
	return string(text)
}

// inPlace has all of an example in the namespace of the installation.
func (w *tenant) inPlace() map[string]string {
	return map[string]string{examples.Namespace: w.namespace}
}

// besideFlux has Flux' objects of an example in a namespace of their own.
func (w *tenant) besideFlux() map[string]string {
	return map[string]string{examples.Namespace: w.namespace, examples.FluxNamespace: w.namespace + "-flux"}
}
