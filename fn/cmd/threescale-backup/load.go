package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/archive"
	"threescale.dev/backup/fn/cmd/internal/exit"
	"threescale.dev/backup/fn/database"
	"threescale.dev/backup/fn/mover"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// lookPatience is how long a database may take until it is known what it is.
const lookPatience = 20 * time.Second

// loadCommand loads databases from the dumps of a run.
type loadCommand struct {
	storeFlags `embed:""`

	Run_           string   `name:"run" default:"latest" help:"ID of the run, or latest."` //nolint:revive // Run is the method
	Databases      []string `required:"" sep:"," placeholder:"NAME,..." help:"Databases to load: system-database, zync-database, system-redis, backend-redis."`
	Policy         string   `enum:"IfEmpty,Replace" default:"IfEmpty" help:"What to do with a database that is not empty: IfEmpty stops; Replace replaces what it holds."`
	Yes            bool     `help:"Load the databases. Without this flag, the command only shows what it would do."`
	Objects        string   `type:"existingdir" placeholder:"DIR" help:"Reach the databases by the Secrets among the manifests in this directory; by default, by those of the run, for which --manifest-sha256 is needed."`
	ManifestSHA256 string   `name:"manifest-sha256" placeholder:"DIGEST" help:"Fail unless manifest.json of the run has this SHA-256. status.manifests of the ThreeScaleBackup has it."`
	Identities     string   `type:"existingdir" placeholder:"DIR" help:"Directory with files *.agekey: the age identities that decrypt an encrypted run."`
	Scratch        string   `type:"existingdir" placeholder:"DIR" help:"Directory for the dumps on their way, which are not encrypted there; by default, that for temporary files."`
}

// Help is what the help text says beyond the flags.
func (*loadCommand) Help() string {
	return `The clients of PostgreSQL and MySQL (pg_restore, mysql or mariadb) must be installed on this machine, of the server's own major
version; Redis needs none. Each database is looked at, and what would happen to it is shown; nothing is written without --yes.
Then every digest of the dumps is verified, and the databases are loaded one after the other. Stop what writes to them before:
for System and Zync, scale the operator and all Deployments of 3scale to 0.

A load that was interrupted can be made again by the same command, which then goes on with the database that it ended in.`
}

// target is a database that is to be loaded.
type target struct {
	Name          threescale.Database   `json:"name"`
	Kind          recorded.DatabaseKind `json:"kind"`
	DumpVersion   string                `json:"dumpVersion"`
	DumpBytes     int64                 `json:"dumpBytes"`
	Address       string                `json:"address"` // without the login
	ServerVersion string                `json:"serverVersion"`
	Empty         bool                  `json:"empty"`
	Interrupted   string                `json:"interrupted,omitempty"` // the run whose load into it has not ended
	Loaded        bool                  `json:"loaded"`
	Warnings      []string              `json:"warnings,omitempty"`

	dump       recorded.Dump
	connection threescale.Connection
}

// loadAnswer is the answer in JSON.
type loadAnswer struct {
	Run       string    `json:"run"`
	Policy    string    `json:"policy"`
	Databases []*target `json:"databases"` // in the order in which they are loaded
}

// Run shows what would be loaded, and loads it.
func (l *loadCommand) Run(ctx context.Context, c *console) error {
	names, err := chosen(l.Databases)
	if err == nil {
		err = l.checkProven()
	}
	if err != nil {
		return exit.Usage(err)
	}
	store, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // it was only read
	run, err := store.OpenRun(ctx, l.Run_)
	if err != nil {
		return err
	}
	defer run.Close() //nolint:errcheck // it was only read
	targets, identities, err := l.targets(ctx, run, names)
	if err != nil {
		return err
	}
	answer := loadAnswer{Run: run.Info().ID, Policy: l.Policy, Databases: targets}
	planned := l.look(ctx, run, targets)
	if err := answer.printPlan(c); err != nil {
		return err
	}
	switch {
	case planned != nil:
		err = planned
	case l.Yes:
		err = l.load(ctx, c, run, targets, identities)
	default:
		c.sayf("Nothing was loaded: the same command with --yes loads them")
	}
	if c.json {
		return errors.Join(c.encode(answer), err)
	}
	answer.printLoaded(c)
	return err
}

// checkProven refuses to send dumps to where a run says that anybody may have written who can write to the volume or the
// bucket: the dumps in it may be real ones.
func (l *loadCommand) checkProven() error {
	if l.ManifestSHA256 != "" || l.Objects != "" {
		return nil
	}
	return errors.New("nothing proves that the run is the one that was written, and its Secrets say where the databases are: give its digest by --manifest-sha256, as status.manifests of the ThreeScaleBackup has it, or name a directory with Secrets that lead to the databases by --objects")
}

// targets finds the dumps of the run, and the ways to the databases that they are for.
func (l *loadCommand) targets(ctx context.Context, run *archive.Run, names []threescale.Database) ([]*target, []age.Identity, error) {
	stored, identities, err := mover.Unlock(ctx, run, l.ManifestSHA256, l.Identities)
	if err != nil {
		return nil, nil, err
	}
	objects, err := manifestsOf(stored)
	if err != nil {
		return nil, nil, err
	}
	ways, err := routesOf(objects, "run "+run.Info().ID)
	if err == nil && l.Objects != "" {
		ways, err = l.others(ways)
	}
	if err != nil {
		return nil, nil, exit.Usage(err)
	}
	dumps := run.Dumps()
	targets := make([]*target, 0, len(names))
	for _, name := range names {
		at := slices.IndexFunc(dumps, func(d recorded.Dump) bool { return d.Name == string(name) })
		if at < 0 {
			return nil, nil, exit.Usage(fmt.Errorf("run %s holds no database %s: %s", run.Info().ID, name, heldText(dumps)))
		}
		t := &target{Name: name, Kind: dumps[at].Kind, DumpVersion: dumps[at].ServerVersion, DumpBytes: dumps[at].Bytes, dump: dumps[at]}
		if t.connection, err = ways.to(name); err != nil {
			return nil, nil, exit.Usage(err)
		}
		t.Address = t.connection.String()
		targets = append(targets, t)
	}
	return targets, identities, nil
}

// others are the ways by the Secrets of --objects. What is encrypted, the APIManager of
// the run says if there is none.
func (l *loadCommand) others(ofRun *routes) (*routes, error) {
	objects, err := readManifests(l.Objects)
	if err != nil {
		return nil, err
	}
	ways, err := routesOf(objects, l.Objects)
	if err == nil && ways.apiManager == nil {
		ways.apiManager = ofRun.apiManager
	}
	return ways, err
}

func heldText(dumps []recorded.Dump) string {
	if len(dumps) == 0 {
		return "it was made without --databases or spec.databases"
	}
	var names []string
	for _, d := range dumps {
		names = append(names, d.Name)
	}
	return "it holds " + strings.Join(names, ", ")
}

// look finds out what the databases are. It returns why they cannot be loaded.
func (l *loadCommand) look(ctx context.Context, run *archive.Run, targets []*target) error {
	var problems []error
	for _, t := range targets {
		server, err := lookAt(ctx, t)
		if err == nil {
			t.ServerVersion, t.Empty, t.Interrupted = server.Version, server.Empty, server.Loading
			err = database.Check(server, database.LoadOptions{Database: t.Name, Dump: t.dump, Policy: database.Policy(l.Policy), Run: run.Info().ID})
		}
		if err != nil {
			problems = append(problems, notLoaded(t.Name, err))
		}
	}
	return errors.Join(problems...)
}

func lookAt(ctx context.Context, t *target) (database.Server, error) {
	patient, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	server, err := database.Look(patient, t.Name, t.connection)
	if err != nil && patient.Err() != nil && ctx.Err() == nil {
		err = &database.Error{Problem: database.Unreachable, Database: t.Name, Err: fmt.Errorf("%s did not answer within %s", t.Address, lookPatience)}
	}
	return server, err
}

// load writes the dumps into a directory, each proven, and loads them one after the other.
func (l *loadCommand) load(ctx context.Context, c *console, run *archive.Run, targets []*target, identities []age.Identity) (err error) {
	scratch, err := os.MkdirTemp(l.Scratch, "threescale-backup-")
	if err != nil {
		return fmt.Errorf("cannot make a directory for the dumps: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	private, err := os.MkdirTemp("", "threescale-backup-") // where a socket has a short path, whatever that of the dumps
	if err != nil {
		return fmt.Errorf("cannot make a directory for logins: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(private)) }()
	dumps := filepath.Join(scratch, "dumps")
	if err := os.Mkdir(dumps, 0o700); err != nil {
		return fmt.Errorf("cannot make a directory for the dumps: %w", err)
	}
	var names []string
	for _, t := range targets {
		names = append(names, string(t.Name))
	}
	draw, end := c.progress()
	defer end()
	if err := run.ExtractDatabases(ctx, dumps, archive.ExtractOptions{Databases: names, Identities: identities, Progress: mover.PassOn(draw)}); err != nil {
		return err
	}
	for i, t := range targets {
		o := database.LoadOptions{
			Database: t.Name, Connection: t.connection, Run: run.Info().ID, Dump: t.dump, From: filepath.Join(dumps, string(t.Name)),
			Private: private, Policy: database.Policy(l.Policy),
			Progress: func(bytes int64) {
				draw(v1alpha1.Progress{Phase: job.LoadingPhase(string(t.Name)), BytesDone: bytes, BytesTotal: t.DumpBytes})
			},
		}
		loaded, err := database.Load(ctx, o)
		if err == nil {
			err = database.Confirm(ctx, o) // its end is the exit code
		}
		if err != nil {
			return goOn(notLoaded(t.Name, err), names, i)
		}
		t.Loaded, t.Empty, t.Interrupted, t.Warnings = true, false, "", loaded.Warnings
	}
	return nil
}

// notLoaded says of which database an error is.
func notLoaded(name threescale.Database, err error) error {
	if _, named := errors.AsType[*database.Error](err); named {
		return fmt.Errorf("cannot load database %w", err)
	}
	return fmt.Errorf("cannot load database %s: %w", name, err)
}

// goOn says which databases were loaded before one failed, and how to load the others.
func goOn(err error, names []string, failed int) error {
	if failed == 0 {
		return err
	}
	return fmt.Errorf("%w; before it, %s had been loaded: go on with --databases %s", err, strings.Join(names[:failed], ", "), strings.Join(names[failed:], ","))
}

// printPlan shows what the databases are, and what would become of them.
func (a loadAnswer) printPlan(c *console) error {
	if c.json {
		return nil
	}
	c.sayf("Run %s, policy %s:", a.Run, a.Policy)
	rows := make([][]string, 0, len(a.Databases))
	for _, t := range a.Databases {
		rows = append(rows, []string{string(t.Name), fmt.Sprintf("%s %s, %s", t.Kind, t.DumpVersion, size(t.DumpBytes)), t.Address, cmp.Or(t.ServerVersion, "not known"), t.holds()})
	}
	return c.table([]string{"DATABASE", "DUMP", "INTO", "SERVER", "HOLDS"}, rows)
}

// holds says what is in the database now.
func (t *target) holds() string {
	switch {
	case t.ServerVersion == "":
		return "not known"
	case t.Interrupted != "":
		return "part of run " + t.Interrupted
	case t.Empty:
		return "nothing"
	}
	return "data"
}

// printLoaded says which databases are loaded.
func (a loadAnswer) printLoaded(c *console) {
	for _, t := range a.Databases {
		if t.Loaded {
			c.sayf("Database %s at %s holds the dump of run %s", t.Name, t.Address, a.Run)
		}
		for _, warning := range t.Warnings {
			c.sayf("warning: database %s: %s", t.Name, warning)
		}
	}
}
