package mover

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// How long a database may take until it is known what it is: one that is to be loaded, and one that is only looked at.
const (
	lookPatience   = 20 * time.Second
	glancePatience = 5 * time.Second
)

// look finds out what the databases are that the run holds, and System's in any case: the operator sets up a new
// installation in an empty one. A database that cannot be seen is an error if it is to be loaded, before the whole run
// is read; otherwise it is only told. What is wrong with the objects of the run is left to their verification.
func (i *inspector) look(ctx context.Context, run *archive.Run) error {
	if i.options.Databases == "" {
		return nil
	}
	objects, err := run.Objects(ctx, i.identities...)
	if err != nil {
		return ctx.Err()
	}
	seer := seer{run: run.Info().ID, attempt: i.options.Attempt, policy: i.options.Databases, connections: connectionsOf(i.options.Connections, objects)}
	dumps := run.Dumps()
	g, ctx := errgroup.WithContext(ctx)
	var found []*job.InspectedDatabase
	for _, name := range threescale.Databases() {
		at := slices.IndexFunc(dumps, func(d recorded.Dump) bool { return d.Name == string(name) })
		if at < 0 && name != threescale.SystemDatabase {
			continue
		}
		var dump *recorded.Dump
		if at >= 0 {
			dump = &dumps[at]
		}
		seen := &job.InspectedDatabase{}
		found = append(found, seen)
		g.Go(func() (err error) {
			*seen, err = seer.look(ctx, name, dump)
			return err
		})
	}
	err = g.Wait()
	for _, seen := range found {
		i.result.Databases = append(i.result.Databases, *seen)
	}
	return err
}

// seer looks at the databases of a run.
type seer struct {
	run         string
	attempt     string
	policy      v1alpha1.DatabasesPolicy
	connections connections
}

// look returns what is known of a database. dump is nil if the run does not hold it.
func (s seer) look(ctx context.Context, name threescale.Database, dump *recorded.Dump) (job.InspectedDatabase, error) {
	d := job.InspectedDatabase{Name: string(name), Encrypted: s.connections.encrypted(name)}
	if dump != nil {
		d.Dumped, d.Kind, d.DumpVersion, d.DumpBytes = true, dump.Kind, dump.ServerVersion, dump.Bytes
	}
	server, err := s.see(ctx, name)
	if err == nil {
		d.Seen, d.ServerVersion, d.Empty = true, server.Version, server.Empty
		d.Kind = cmp.Or(d.Kind, server.Kind)
	}
	loads := dump != nil && s.policy != v1alpha1.DatabasesSkip
	if dump != nil && err == nil {
		o := database.LoadOptions{Database: name, Dump: *dump, Policy: database.Policy(s.policy), Run: s.run, Attempt: s.attempt}
		d.Interrupted = o.GoesOn(server)
		if loads {
			err = database.Check(server, o)
		}
	}
	switch problem, known := errors.AsType[*database.Error](err); {
	case err == nil:
		return d, nil
	case ctx.Err() != nil:
		return d, ctx.Err()
	case !known:
		return d, err
	case loads && problem.Problem != database.Unsupported && problem.Problem != database.NotEmpty:
		return d, err
	default:
		d.Reason, d.Message = Reason(err), problem.Err.Error()
		return d, nil
	}
}

// see connects to a database.
func (s seer) see(ctx context.Context, name threescale.Database) (database.Server, error) {
	connection, err := s.connections.read(name)
	if err != nil {
		return database.Server{}, err
	}
	patience := lookPatience
	if s.policy == v1alpha1.DatabasesSkip {
		patience = glancePatience
	}
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	server, err := database.Look(patient, name, connection)
	if err != nil && patient.Err() != nil && ctx.Err() == nil {
		return server, &database.Error{Problem: database.Unreachable, Database: name, Err: fmt.Errorf("it did not say within %s what it is", patience)}
	}
	return server, concealConnection(connection, err)
}

// connections are the ways to the databases of an installation: those of a folder with the Secrets of a namespace, or
// those of a run.
type connections struct {
	dir        string
	objects    []archive.ObjectFile
	apiManager *unstructured.Unstructured // of the run, whose spec the installation will have
}

// connectionsOf returns the ways to the databases: through the Secrets in a folder, or those among the objects if there
// is none.
func connectionsOf(dir string, objects []archive.ObjectFile) connections {
	c := connections{dir: dir, objects: objects}
	for _, o := range objects {
		if kind, decoded, err := checkObject(o); err == nil && kind == threescale.APIManagerKind {
			c.apiManager = decoded
		}
	}
	return c
}

func (c connections) encrypted(name threescale.Database) bool {
	return threescale.DatabaseTLS(c.apiManager, name)
}

// read returns the way to one database. Errors are database.Errors.
func (c connections) read(name threescale.Database) (threescale.Connection, error) {
	if c.dir != "" {
		return readConnection(c.dir, name, c.encrypted(name))
	}
	data, err := c.secret(name)
	if err == nil {
		var connection threescale.Connection
		if connection, err = threescale.ReadConnection(name, data, c.encrypted(name)); err == nil {
			return connection, nil
		}
	}
	return threescale.Connection{}, &database.Error{Problem: database.Unsupported, Database: name, Err: err}
}

// secret returns what the run's Secret of a database holds of its connection, by key.
func (c connections) secret(name threescale.Database) (map[string][]byte, error) {
	secretName, keys := threescale.ConnectionKeys(name)
	at := slices.IndexFunc(c.objects, func(o archive.ObjectFile) bool {
		return o.Path == path.Join(job.SecretsDir, secretName+".json")
	})
	if at < 0 {
		return nil, fmt.Errorf("the run has no Secret %q", secretName)
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal(c.objects[at].Data, &secret); err != nil {
		return nil, fmt.Errorf("cannot decode Secret %q of the run", secretName) // the error may quote a value
	}
	connection := map[string][]byte{}
	for _, key := range keys {
		if value, ok := secret.Data[key]; ok {
			connection[key] = value
		}
	}
	return connection, nil
}

// concealConnection returns err with another text if its own quotes where a database is, or how to log in: those are
// in a Secret, and not everybody who may read a report may read it.
func concealConnection(c threescale.Connection, err error) error {
	texts := []string{c.String(), c.Username, c.Password, c.Address.Host}
	if s := c.Sentinel; s != nil {
		texts = append(texts, s.Username, s.Password)
		for _, address := range s.Addresses {
			texts = append(texts, address.Host)
		}
	}
	if own, ok := errors.AsType[*database.Error](err); ok { // its text begins with the name of the database, which the host may have too
		return &database.Error{Problem: own.Problem, Database: own.Database, Err: secretsIn(texts).conceal(own.Err)}
	}
	return secretsIn(texts).conceal(err)
}
