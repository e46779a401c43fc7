package restore

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
)

const (
	systemDatabase = "system-database"
	backendRedis   = "backend-redis"
)

// ifEmpty is a restore that loads databases of a run that it knows, and has the client of System's.
func ifEmpty(o *State) {
	o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest
	o.Restore.Spec.Databases = v1alpha1.RestoreDatabases{Policy: v1alpha1.DatabasesIfEmpty, System: &v1alpha1.RestoreSQLDatabase{Image: "registry.example.com/postgresql-15"}}
}

func replaceAll(o *State) {
	ifEmpty(o)
	o.Restore.Spec.Databases.Policy = v1alpha1.DatabasesReplace
}

// omitted is a restore that leaves the Secrets of the databases to its namespace.
func omitted(o *State) { o.Restore.Spec.DatabaseSecrets = v1alpha1.DatabaseSecretsOmit }

// dumped is a run of this namespace that holds two databases, whose places are empty.
func dumped(o *State) {
	o.Inspection.Source.Namespace = namespace
	o.Inspection.Databases = []job.InspectedDatabase{
		{Name: backendRedis, Kind: recorded.Redis, Dumped: true, DumpVersion: "7.0.15", DumpBytes: 10, Seen: true, ServerVersion: "7.2.4", Empty: true},
		{Name: systemDatabase, Kind: recorded.PostgreSQL, Dumped: true, DumpVersion: "15.18", DumpBytes: 20, Encrypted: true, Seen: true, ServerVersion: "16.2", Empty: true},
	}
}

func database(name string, edit func(*job.InspectedDatabase)) func(*State) {
	return func(o *State) {
		for i := range o.Inspection.Databases {
			if d := &o.Inspection.Databases[i]; d.Name == name {
				edit(d)
			}
		}
	}
}

func plannedAll(o *State) {
	planned(o)
	o.Restore.Status.Plan.Databases = plannedDatabases(o)
}

func loading(o *State) { o.Load = Pod{Name: "dr-load-0123abcd", Exists: true} }

func loadFailed(reason string, loaded ...string) func(*State) {
	return func(o *State) {
		o.Load = Pod{Name: "dr-load-0123abcd", Exists: true, Failed: true, EndedAt: noon, Message: "BackoffLimitExceeded: x"}
		o.Loaded = &job.LoadResult{Run: run, Reason: reason, Message: "it went wrong"}
		for _, name := range loaded {
			o.Loaded.Databases = append(o.Loaded.Databases, job.LoadedDatabase{Name: name})
		}
	}
}

// loadedPart is what the Job has reported so far.
func loadedPart(loaded ...string) func(*State) {
	return func(o *State) {
		loadFailed("", loaded...)(o)
		loading(o)
	}
}

func loadDone(o *State) {
	loadFailed("", backendRedis, systemDatabase)(o)
	o.Load.Failed, o.Load.Complete, o.Loaded.Completed, o.Loaded.Message = false, true, true, ""
}

func TestDatabaseActions(t *testing.T) {
	full := func(d *job.InspectedDatabase) { d.Empty = false }
	conflict := func(reason string) func(*job.InspectedDatabase) {
		return func(d *job.InspectedDatabase) { d.Empty, d.Reason, d.Message = false, reason, "it is not empty" }
	}
	elsewhere := func(o *State) { o.Inspection.Source.Namespace = "prod" }
	interrupted := func(d *job.InspectedDatabase) { d.Empty, d.Interrupted = false, true }
	notDumped := func(d *job.InspectedDatabase) { d.Dumped, d.DumpVersion, d.DumpBytes = false, "", 0 }
	found := func(o *State) { o.Restore.Status.FoundCommit = commit }
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		action v1alpha1.DatabaseAction // of System's
		says   string
	}{
		"Skip": {"nobody asked for it", nil, v1alpha1.DatabaseSkip, ""},
		"SkipUnseen": {"what cannot be seen is told", stages(database(systemDatabase, func(d *job.InspectedDatabase) {
			d.Seen, d.Reason, d.Message = false, v1alpha1.ReasonDatabaseUnreachable, "no route"
		})), v1alpha1.DatabaseSkip, "it was not seen: no route"},
		"Empty":       {"the usual case", stages(ifEmpty), v1alpha1.DatabaseLoad, ""},
		"NotEmpty":    {"its data are somebody's", stages(ifEmpty, database(systemDatabase, conflict(v1alpha1.ReasonDatabaseNotEmpty))), v1alpha1.DatabaseConflict, "it is not empty"},
		"Older":       {"it cannot take the dump", stages(replaceAll, database(systemDatabase, conflict(v1alpha1.ReasonDatabaseUnsupported))), v1alpha1.DatabaseConflict, "it is not empty"},
		"Replace":     {"somebody asked for it", stages(replaceAll, database(systemDatabase, full)), v1alpha1.DatabaseReplace, ""},
		"ReplaceNone": {"there is nothing to replace", stages(replaceAll), v1alpha1.DatabaseLoad, ""},
		"Interrupted": {"a load was cut off, and goes on", stages(ifEmpty, database(systemDatabase, interrupted)), v1alpha1.DatabaseLoad, ""},
		"InterruptedReplacing": {"what was there before may be there still", stages(replaceAll, database(systemDatabase, interrupted)),
			v1alpha1.DatabaseReplace, ""},
		"Elsewhere": {"its data are production's", stages(replaceAll, elsewhere, database(systemDatabase, full)), v1alpha1.DatabaseConflict,
			`leads to the database of the installation in namespace "prod", whose data databases.policy Replace would take: set spec.databaseSecrets to Omit`},
		"ElsewhereInterrupted": {"a part is left of what was there", stages(replaceAll, elsewhere, database(systemDatabase, interrupted)), v1alpha1.DatabaseConflict, "set spec.databaseSecrets to Omit"},
		"ElsewhereEmpty":       {"nobody loses anything", stages(replaceAll, elsewhere), v1alpha1.DatabaseLoad, ""},
		"ElsewhereOmit":        {"the Secrets lead to its own", stages(replaceAll, elsewhere, omitted, database(systemDatabase, full)), v1alpha1.DatabaseReplace, ""},
		"ElsewhereIfEmpty":     {"that policy takes no data", stages(ifEmpty, elsewhere, database(systemDatabase, interrupted)), v1alpha1.DatabaseLoad, ""},
		"NotDumped":            {"the run does not hold it", stages(ifEmpty, database(systemDatabase, notDumped)), v1alpha1.DatabaseSkip, "the run does not hold it"},
		"NoImage": {"nothing can load it", stages(ifEmpty, func(o *State) { o.Restore.Spec.Databases.System = nil }),
			v1alpha1.DatabaseConflict, "set spec.databases.system.image"},
		"Loaded": {"by this restore, before it looked again", stages(ifEmpty, database(systemDatabase, conflict(v1alpha1.ReasonDatabaseNotEmpty)), func(o *State) {
			o.Restore.Status.LoadedDatabases = []string{systemDatabase}
		}), v1alpha1.DatabaseUnchanged, "this restore has loaded it"},
		"FoundCommit": {"3scale may have written to it since, and a new installation too", stages(replaceAll, found, database(systemDatabase, full)),
			v1alpha1.DatabaseSkip, "it is left alone, since it holds data, and was loaded before commit 0123456"},
		"FoundCommitNotEmpty": {"likewise, and it is no conflict", stages(ifEmpty, found, database(systemDatabase, conflict(v1alpha1.ReasonDatabaseNotEmpty))),
			v1alpha1.DatabaseSkip, "it is left alone"},
		"FoundCommitEmpty": {"the database was lost with the cluster", stages(ifEmpty, found), v1alpha1.DatabaseLoad, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(inspected, dumped), tc.edits...)...)
			got := plannedDatabases(o)
			require.Len(t, got, 2)
			assert.Equal(t, backendRedis, got[0].Name, "in the order in which they are dumped")
			assert.Equal(t, tc.action, got[1].Action, tc.reason)
			assert.Contains(t, got[1].Message, tc.says)
			assert.Equal(t, o.Inspection.Databases[1].Seen, got[1].Empty != nil)
		})
	}
}

// TestLostDatabaseIsLoadedAgain: the command in the warning leads to another attempt, which no commit records.
func TestLostDatabaseIsLoadedAgain(t *testing.T) {
	o := observed(inspected, dumped, replaceAll, database(systemDatabase, func(d *job.InspectedDatabase) { d.Empty = false }), func(o *State) { o.Restore.Status.FoundCommit = commit })
	warned := databaseWarnings(o, plannedDatabases(o), nil, false)
	require.Len(t, warned, 1)
	require.Contains(t, warned[0], ForceAgain(o.Restore))
	o.Restore.Status.Attempt = attemptOf(o.Restore)
	annotated(meta.ReconcileRequestAnnotation, "1", meta.ForceRequestAnnotation, "1")(o)
	require.True(t, Begin(o.Restore, noon))
	assert.Equal(t, v1alpha1.DatabaseReplace, plannedDatabases(o)[1].Action)
}

// TestImageOfRedis: the mover loads it.
func TestImageOfRedis(t *testing.T) {
	o := observed(inspected, dumped, ifEmpty)
	assert.Empty(t, ImageOf(o.Restore, backendRedis))
	assert.Equal(t, "registry.example.com/postgresql-15", ImageOf(o.Restore, systemDatabase))
	assert.Empty(t, ImageOf(o.Restore, "zync-database"))
	assert.True(t, Encrypted(o, systemDatabase))
	assert.False(t, Encrypted(o, backendRedis))
}

// TestLoads: what happens between the files and the commit.
func TestLoads(t *testing.T) {
	before := stages(branchRead, inspected, dumped, ifEmpty, plannedAll, refilledIt)
	before = append(before, func(o *State) { storageMade(o); o.FileStorage.UID = "a" })
	empty := loadFailed(v1alpha1.ReasonDatabaseUnreachable)
	for name, tc := range map[string]struct {
		reason  string
		reached []func(*State)
		step    string
		action  Action
		problem string
		says    string
	}{
		"Starts":     {"the operator finds them full", nil, "Load", StartLoad, "", ""},
		"Goes":       {"it takes its time", stages(loading), "Load", "", "", "Loading the databases"},
		"Done":       {"what is loaded is noted", stages(loadDone), "Load", NoteLoad, "", ""},
		"Part":       {"the controller may end before the Job does", stages(loading, loadedPart(backendRedis)), "Load", NoteLoad, "", ""},
		"Ending":     {"nothing is committed before the Job has ended", stages(loading, loadedPart(backendRedis, systemDatabase)), "Load", "", "", "Loading the databases"},
		"Noted":      {"it is not done twice", stages(loadDone, func(o *State) { o.Note(NoteLoad, Result{}, noon) }), "Publish", Publish, "", ""},
		"Incomplete": {"a report that lacks one is none", stages(loadDone, func(o *State) { o.Loaded.Databases = o.Loaded.Databases[:1] }), "Load", "", v1alpha1.ReasonReportMissing, "its report holds no result"},
		"Fails":      {"nothing is committed", stages(empty), "Load", "", v1alpha1.ReasonDatabaseUnreachable, "it went wrong; nothing was committed"},
		"Killed": {"the node died, and the pod could not say why", stages(empty, func(o *State) { o.Loaded = nil }),
			"Load", "", v1alpha1.ReasonFailed, "BackoffLimitExceeded"},
		"Again":  {"after the retry interval", stages(empty, func(o *State) { o.Load.EndedAt = noon.Add(-o.Restore.GetRetryInterval()) }), "Load", DropLoad, "", ""},
		"Client": {"another image is needed", stages(loadFailed(v1alpha1.ReasonDatabaseClientMissing)), "Load", "", v1alpha1.ReasonDatabaseClientMissing, "then ask again"},
		"Asked":  {"somebody has mended it", stages(loadFailed(v1alpha1.ReasonDatabaseClientMissing), requested("now")), "Load", DropLoad, "", ""},
		"Pushed": {"it is over", stages(published), "Apply", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := told(observed(append(append(stages(), before...), tc.reached...)...))
			assert.Equal(t, tc.step, d.Step, "%s: %+v", tc.reason, d)
			assert.Equal(t, tc.action, d.Action, tc.reason)
			if tc.problem == "" {
				require.Nil(t, d.Problem, tc.reason)
				assert.Contains(t, d.Message, tc.says)
				return
			}
			require.NotNil(t, d.Problem, tc.reason)
			assert.Equal(t, tc.problem, d.Problem.Reason, tc.reason)
			assert.Contains(t, d.Problem.Message, tc.says)
		})
	}
}

// TestLoadGoesOn: a database that is loaded is not empty any more, so that the next Job must not load it again.
func TestLoadGoesOn(t *testing.T) {
	o := observed(branchRead, inspected, dumped, ifEmpty, plannedAll, refilled, storageMade, loadFailed(v1alpha1.ReasonDatabaseFailed, backendRedis, "not-ours"), requested("now"))
	o.Loaded.Databases[0].Warnings = []string{"table a stays"}
	require.Equal(t, NoteLoad, told(o).Action, "the status has it before the report is deleted")
	o.Note(NoteLoad, Result{}, noon)
	assert.Contains(t, o.Restore.Status.Plan.Warnings, backendRedis+": table a stays")
	require.Equal(t, DropLoad, told(o).Action)
	o.Note(DropLoad, Result{}, noon)
	assert.Len(t, o.Restore.Status.Plan.Warnings, 1, "each is told once")
	o.Load, o.Loaded = Pod{}, nil
	assert.Equal(t, []string{backendRedis}, o.Restore.Status.LoadedDatabases)
	require.Equal(t, StartLoad, told(o).Action)
	left := ToLoad(o.Restore)
	require.Len(t, left, 1)
	assert.Equal(t, systemDatabase, left[0].Name)
	loadDone(o)
	o.Loaded.Databases = o.Loaded.Databases[1:]
	require.Equal(t, NoteLoad, told(o).Action)
	o.Note(NoteLoad, Result{}, noon)
	assert.Equal(t, []string{backendRedis, systemDatabase}, o.Restore.Status.LoadedDatabases)
	assert.Equal(t, Publish, told(o).Action)
	assert.True(t, leaves(o), "the Job is cleaned up")
}

// TestLoadLeavesNoMark: a Job that failed when all was loaded may have left what marks a load. Nothing is committed before
// another one has removed it.
func TestLoadLeavesNoMark(t *testing.T) {
	o := observed(branchRead, inspected, dumped, ifEmpty, plannedAll, refilled, storageMade, loadFailed(v1alpha1.ReasonDatabaseUnreachable, backendRedis, systemDatabase))
	require.Equal(t, NoteLoad, told(o).Action)
	o.Note(NoteLoad, Result{}, noon)
	require.Empty(t, ToLoad(o.Restore))
	requireProblem(t, told(o), v1alpha1.ReasonDatabaseUnreachable, false)
	o.Load.EndedAt = noon.Add(-o.Restore.GetRetryInterval())
	require.Equal(t, DropLoad, told(o).Action)
	o.Load, o.Loaded = Pod{Ending: true}, nil
	require.Contains(t, told(o).Message, "Waiting for the former pod")
	o.Load = Pod{}
	require.Equal(t, StartLoad, told(o).Action)
	assert.Len(t, Loads(o.Restore), 2)
	loadDone(o)
	assert.Equal(t, Publish, told(o).Action)
}

// TestConflictOfDatabase: nothing at all is written, not even files.
func TestConflictOfDatabase(t *testing.T) {
	notEmpty := func(o *State) {
		database(systemDatabase, func(d *job.InspectedDatabase) {
			d.Empty, d.Reason, d.Message = false, v1alpha1.ReasonDatabaseNotEmpty, "it has tables"
		})(o)
	}
	before := stages(branchRead, inspected, dumped, ifEmpty)
	o := observed(append(before, notEmpty, plannedAll, func(o *State) { o.Planned = true })...)
	d := told(o)
	requireProblem(t, d, v1alpha1.ReasonDatabaseNotEmpty, true)
	assert.Equal(t, "Plan", d.Step)
	assert.Contains(t, d.Problem.Message, "system-database: it has tables; nothing was written")
	assert.Contains(t, d.Problem.Message, "then ask again")
	requested("now")(o)
	assert.Equal(t, DropInspect, told(o).Action, "only another look can tell that it is empty now")

	o = observed(append(before, func(o *State) { o.Restore.Spec.Databases.System = nil }, plannedAll, func(o *State) { o.Planned = true })...)
	d = told(o)
	requireProblem(t, d, v1alpha1.ReasonDatabaseClientMissing, true)
	assert.Contains(t, d.Problem.Message, "set spec.databases.system.image")
	ifEmpty(o)
	o.Planned = false
	assert.Equal(t, MakePlan, told(o).Action, "the image was named since")

	full := database(systemDatabase, func(d *job.InspectedDatabase) { d.Empty = false })
	for whose, edit := range map[string]func(*State){`the installation in namespace "prod"`: elsewhere, "the installation that was backed up, which has another domain": otherDomain} {
		o = observed(append(before, replaceAll, edit, full, plannedAll, func(o *State) { o.Planned = true })...)
		d = told(o)
		requireProblem(t, d, v1alpha1.ReasonDatabaseOfOthers, true)
		assert.Contains(t, d.Problem.Message, "leads to the database of "+whose)
		assert.Contains(t, d.Problem.Message, "nothing was written")
	}
	cleaned(o)
	o.Inspection, o.Restore.Spec.DryRun = nil, true
	assert.Contains(t, told(o).Message, "; a restore would stop with "+v1alpha1.ReasonDatabaseOfOthers, "also where nobody looks any more")
}

// TestRunIsProven: whoever can write to the volume can have real dumps decrypted, and sent to where his own Secrets lead.
func TestRunIsProven(t *testing.T) {
	unknown := func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = "" }
	loaded := func(o *State) { o.Restore.Status.LoadedDatabases = []string{backendRedis, systemDatabase} }
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		says   string // "" if it goes on
	}{
		"Volume":  {"nobody knows who wrote the run", nil, "on the volume"},
		"Bucket":  {"likewise", stages(fromBucket), "in the bucket"},
		"Replace": {"likewise", stages(func(o *State) { o.Restore.Spec.Databases.Policy = v1alpha1.DatabasesReplace }), "set spec.databaseSecrets to Omit"},
		"Digest":  {"somebody wrote it down", stages(func(o *State) { o.Restore.Spec.RestoreSource.ManifestSHA256 = manifestDigest }), ""},
		"Backup":  {"the ThreeScaleBackup knows it", stages(fromBackup(run, manifestDigest)), ""},
		"OtherRun": {"it knows another one", stages(fromBackup("20261121t020000z-1a2b3c4d", manifestDigest), func(o *State) { o.Restore.Spec.RestoreSource.Run = run }),
			"as status.manifests of the ThreeScaleBackup has it"},
		"Omit":   {"the Secrets are not the run's", stages(omitted), ""},
		"Skip":   {"nothing is loaded", stages(func(o *State) { o.Restore.Spec.Databases.Policy = v1alpha1.DatabasesSkip }), ""},
		"Loaded": {"they are loaded", stages(loaded), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(append(stages(branchRead, inspected, dumped, ifEmpty, unknown), tc.edits...), plannedAll, func(o *State) { o.Planned = true })...)
			if tc.says == "" {
				assert.Nil(t, checkObjects(o), tc.reason)
				return
			}
			d := told(o)
			requireProblem(t, d, v1alpha1.ReasonRunUnproven, true)
			assert.Equal(t, "Plan", d.Step, tc.reason)
			assert.Contains(t, d.Problem.Message, tc.says)
			cleaned(o)
			o.Inspection, o.Restore.Spec.DryRun = nil, true
			assert.Contains(t, told(o).Message, "; a restore would stop with "+v1alpha1.ReasonRunUnproven)
		})
	}
}

func TestDatabaseWarnings(t *testing.T) {
	const setsUp = "the operator sets up a new installation in an empty one"
	exists := []v1alpha1.PlannedObject{{ObjectReference: v1alpha1.ObjectReference{Kind: "APIManager", Name: "example"}, Verdict: v1alpha1.VerdictUnchanged}}
	notDumped := database(systemDatabase, func(d *job.InspectedDatabase) { d.Dumped, d.DumpVersion = false, "" })
	full := database(systemDatabase, func(d *job.InspectedDatabase) { d.Empty = false })
	found := func(o *State) { o.Restore.Status.FoundCommit = commit }
	for name, tc := range map[string]struct {
		reason string
		edits  []func(*State)
		judged []v1alpha1.PlannedObject
		copied bool
		want   []string
	}{
		"Loads":     {"it is full then", stages(ifEmpty), nil, false, nil},
		"Skips":     {"it stays empty", nil, nil, false, []string{setsUp + ": set spec.databases.policy to IfEmpty"}},
		"NotDumped": {"nothing can be loaded", stages(ifEmpty, notDumped), nil, false, []string{setsUp + ": load its dump before"}},
		"Full":      {"it is somebody's", stages(full), nil, false, nil},
		"Unseen":    {"nobody knows", stages(database(systemDatabase, func(d *job.InspectedDatabase) { d.Seen = false })), nil, false, nil},
		"InPlace":   {"pods write to it meanwhile", stages(ifEmpty), exists, false, []string{"scale the Deployments of the installation to 0"}},
		"Beside":    {"it may be the database of production", stages(replaceAll, full), nil, true, []string{"databases.policy Replace takes its data from it"}},
		"FoundCommit": {"nobody knows whose data they are", stages(replaceAll, found, full), nil, false, []string{
			"left alone, since commit 0123456789ab restored them and they hold data: system-database; if one of them was lost since",
		}},
		"FoundNotDumped": {"this restore has not loaded it", stages(ifEmpty, found, full, notDumped), nil, false, nil},
		"FoundSkips":     {"nobody asked for it", stages(found, full), nil, false, nil},
		"FoundLoads": {"what was loaded since is not left alone", stages(ifEmpty, found, full, func(o *State) {
			o.Restore.Status.LoadedDatabases = []string{systemDatabase}
		}), nil, false, nil},
		"OwnOne": {"the Secrets lead elsewhere", stages(replaceAll, omitted), nil, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			o := observed(append(stages(inspected, dumped), tc.edits...)...)
			got := databaseWarnings(o, plannedDatabases(o), tc.judged, tc.copied)
			require.Len(t, got, len(tc.want), "%s: %q", tc.reason, got)
			for i, want := range tc.want {
				assert.Contains(t, got[i], want)
			}
		})
	}
}

func TestDryRunTellsDatabases(t *testing.T) {
	o := observed(branchRead, inspected, dumped, ifEmpty, plannedAll, cleaned, func(o *State) { o.Restore.Spec.DryRun = true })
	assert.Contains(t, told(o).Message, "; databases to load: backend-redis, system-database")
}

// TestAttemptOfDatabases: a restore that was finished before there were databases is not done again.
func TestAttemptOfDatabases(t *testing.T) {
	of := func(d v1alpha1.RestoreDatabases) string {
		r := &v1alpha1.ThreeScaleRestore{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{meta.ReconcileRequestAnnotation: "1"}}}
		r.Spec.Databases = d
		return attemptOf(r)
	}
	before := of(v1alpha1.RestoreDatabases{})
	image := &v1alpha1.RestoreSQLDatabase{Image: "a"}
	assert.Equal(t, before, of(v1alpha1.RestoreDatabases{Policy: v1alpha1.DatabasesSkip, System: image}), "nothing else is asked for")
	loads := of(v1alpha1.RestoreDatabases{Policy: v1alpha1.DatabasesIfEmpty})
	assert.NotEqual(t, before, loads)
	assert.Equal(t, loads, of(v1alpha1.RestoreDatabases{Policy: v1alpha1.DatabasesIfEmpty, System: image, Scratch: &v1alpha1.ScratchVolume{}}), "by which means is not what is restored")
	assert.NotEqual(t, loads, of(v1alpha1.RestoreDatabases{Policy: v1alpha1.DatabasesReplace}))
}
