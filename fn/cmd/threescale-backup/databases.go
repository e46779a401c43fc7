package main

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// chosen returns the databases of those names in the order in which they are dumped and
// loaded, each once.
func chosen(names []string) ([]threescale.Database, error) {
	all := threescale.Databases()
	known := make([]string, 0, len(all))
	for _, d := range all {
		known = append(known, string(d))
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no database %q: --databases takes %s, with commas between them", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(d threescale.Database) bool { return !slices.Contains(names, string(d)) }), nil
}

// noImage stands for the image of a client, which is a program of this machine.
const noImage = "command-line"

// databasesOf is the spec.databases that names them; nil without any.
func databasesOf(names []threescale.Database) *v1alpha1.Databases {
	if len(names) == 0 {
		return nil
	}
	out := &v1alpha1.Databases{}
	for _, name := range names {
		switch name {
		case threescale.SystemDatabase:
			out.System = &v1alpha1.SQLDatabase{Image: noImage}
		case threescale.ZyncDatabase:
			out.Zync = &v1alpha1.SQLDatabase{Image: noImage}
		case threescale.BackendRedis:
			out.BackendRedis = &v1alpha1.RedisDatabase{}
		case threescale.SystemRedis:
			out.SystemRedis = &v1alpha1.RedisDatabase{}
		}
	}
	return out
}

// dumpText describes a dump in a few words.
func dumpText(d recorded.Dump) string {
	return fmt.Sprintf("%s: %s %s, %s", d.Name, d.Kind, d.ServerVersion, size(d.Bytes))
}

// dumpsOf returns the dumps of a run; none without a manifest.
func dumpsOf(m *archive.Manifest) []recorded.Dump {
	if m == nil || m.Databases == nil {
		return nil
	}
	return m.Databases.Dumps
}

// heldBy returns the names of databases that are dumped.
func heldBy(dumps []recorded.Dump) []threescale.Database {
	held := make([]threescale.Database, 0, len(dumps))
	for _, d := range dumps {
		held = append(held, threescale.Database(d.Name))
	}
	return held
}

// routes are the ways to the databases of an installation: its Secrets, and its
// APIManager, which says what is encrypted.
type routes struct {
	secrets    map[string]map[string][]byte
	apiManager *unstructured.Unstructured
	from       string // where the Secrets are, for messages
}

// routesOf finds the ways among the objects of an installation.
func routesOf(objects []*unstructured.Unstructured, from string) (*routes, error) {
	r := &routes{secrets: map[string]map[string][]byte{}, from: from}
	for _, u := range objects {
		switch u.GetKind() {
		case threescale.KindSecret:
			var secret corev1.Secret
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &secret); err != nil {
				return nil, fmt.Errorf("cannot decode Secret %q of %s", u.GetName(), from) // the error may quote a value
			}
			r.secrets[u.GetName()] = secret.Data
		case threescale.APIManagerKind:
			r.apiManager = u
		}
	}
	return r, nil
}

// to returns the way to one database.
func (r *routes) to(name threescale.Database) (threescale.Connection, error) {
	secret, _ := threescale.ConnectionKeys(name)
	data, ok := r.secrets[secret]
	if !ok {
		return threescale.Connection{}, fmt.Errorf("cannot reach database %s: there is no Secret %q in %s", name, secret, r.from)
	}
	encrypted := r.apiManager != nil && threescale.DatabaseTLS(r.apiManager, name)
	connection, err := threescale.ReadConnection(name, data, encrypted)
	if err != nil {
		return threescale.Connection{}, &database.Error{Problem: database.Unsupported, Database: name, Err: fmt.Errorf("in %s: %w", r.from, err)}
	}
	return connection, nil
}

// manifestsOf decodes the objects of a run.
func manifestsOf(objects []archive.ObjectFile) ([]*unstructured.Unstructured, error) {
	out := make([]*unstructured.Unstructured, 0, len(objects))
	for _, o := range objects {
		u := &unstructured.Unstructured{}
		if err := utiljson.Unmarshal(o.Data, &u.Object); err != nil {
			return nil, fmt.Errorf("cannot decode %q of the run", o.Path) // the error may quote a value
		}
		out = append(out, u)
	}
	return out, nil
}

// databaseAdvice says what to do, in the words of the flags.
func databaseAdvice(problem database.Problem) string {
	switch problem {
	case database.Unreachable:
		return "see that the database is up and that this machine reaches the address in its Secret, which may be one of the cluster's own network"
	case database.Untrusted:
		return "correct the authority, the mode or the address in its Secret, or the certificate of the database"
	case database.Denied:
		return "correct the login in its Secret, or grant the rights that examples/README.md lists"
	case database.ClientMissing:
		return "install the client of the server's own major version on this machine, and have it on the PATH"
	case database.NotEmpty:
		return "name an empty database in its Secret, or give --policy Replace, which replaces all that it holds"
	case database.Full:
		return "make room where the message says"
	case database.Unsupported, database.Failed:
	}
	return ""
}

// tellDumps prints the databases of a run, one a line.
func tellDumps(c *console, r *job.Result) {
	for _, d := range r.Databases {
		c.sayf("database %s", dumpText(d))
	}
}
