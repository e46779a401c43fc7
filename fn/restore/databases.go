package restore

import (
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// plannedDatabases is what the restore does to each database, in the order in which they are dumped.
func plannedDatabases(o *State) []v1alpha1.PlannedDatabase {
	var planned []v1alpha1.PlannedDatabase
	for _, name := range threescale.Databases() {
		at := slices.IndexFunc(o.Inspection.Databases, func(d job.InspectedDatabase) bool { return d.Name == string(name) })
		if at < 0 {
			continue
		}
		d := o.Inspection.Databases[at]
		p := v1alpha1.PlannedDatabase{Name: d.Name, Kind: string(d.Kind), DumpVersion: d.DumpVersion, DumpBytes: d.DumpBytes, ServerVersion: d.ServerVersion}
		if d.Seen {
			p.Empty = &d.Empty
		}
		p.Action, p.Message = databaseAction(o, d)
		planned = append(planned, p)
	}
	return planned
}

// databaseAction returns what the restore does to a database, and why.
func databaseAction(o *State, d job.InspectedDatabase) (v1alpha1.DatabaseAction, string) {
	policy := o.Restore.Spec.Databases.Policy
	switch {
	case slices.Contains(o.Restore.Status.LoadedDatabases, d.Name):
		return v1alpha1.DatabaseUnchanged, "this restore has loaded it"
	case !o.Restore.LoadsDatabases() && !d.Seen && d.Message != "":
		return v1alpha1.DatabaseSkip, "it was not seen: " + d.Message
	case !o.Restore.LoadsDatabases():
		return v1alpha1.DatabaseSkip, ""
	case !d.Dumped:
		return v1alpha1.DatabaseSkip, "the run does not hold it"
	case loadedBefore(o, d):
		return v1alpha1.DatabaseSkip, fmt.Sprintf("it is left alone, since it holds data, and was loaded before commit %s was made", short(o.Restore.Status.FoundCommit))
	case d.Reason != "":
		return v1alpha1.DatabaseConflict, d.Message
	case isSQL(d.Kind) && ImageOf(o.Restore, d.Name) == "":
		return v1alpha1.DatabaseConflict, fmt.Sprintf("the run holds it, and no image has its client: set spec.databases.%s.image", imageField(d.Name))
	case d.Empty, d.Interrupted && policy == v1alpha1.DatabasesIfEmpty:
		return v1alpha1.DatabaseLoad, ""
	case replacesOthers(o.Restore, o.Inspection.Source):
		return v1alpha1.DatabaseConflict, fmt.Sprintf("it holds data, and the restored Secret leads to the database of %s, whose data databases.policy Replace would take: set spec.databaseSecrets to Omit, and make Secrets in this namespace that lead to databases of its own", original(o.Restore, o.Inspection.Source.Namespace))
	}
	return v1alpha1.DatabaseReplace, ""
}

// replacesOthers reports whether a restore would replace what is in the databases of the installation that was backed up,
// which may still run.
func replacesOthers(r *v1alpha1.ThreeScaleRestore, backedUp job.Source) bool {
	return r.Spec.Databases.Policy == v1alpha1.DatabasesReplace && r.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit && beside(r, backedUp)
}

// loadedBefore reports whether a database holds data, and the commit of this restore is on the branch already, before which
// it was loaded. By whom the data are, nobody knows: 3scale may have written them since, and also a new installation after
// the database was lost.
func loadedBefore(o *State, d job.InspectedDatabase) bool {
	return o.Restore.Status.FoundCommit != "" && d.Dumped && d.Seen && !d.Empty && !d.Interrupted
}

// isSQL reports whether a database needs a client to be loaded.
func isSQL(kind recorded.DatabaseKind) bool { return kind != recorded.Redis }

// imageField is the field of spec.databases that has the image of a database's client.
func imageField(name string) string {
	component, _, _ := strings.Cut(name, "-")
	return component
}

// ImageOf is the image with the client of a database; "" without one.
func ImageOf(r *v1alpha1.ThreeScaleRestore, name string) string {
	var database *v1alpha1.RestoreSQLDatabase
	switch threescale.Database(name) {
	case threescale.SystemDatabase:
		database = r.Spec.Databases.System
	case threescale.ZyncDatabase:
		database = r.Spec.Databases.Zync
	case threescale.SystemRedis, threescale.BackendRedis:
	}
	if database == nil {
		return ""
	}
	return database.Image
}

// checkDatabases returns which database stands in the way of the plan; nil if none does.
func checkDatabases(o *State) *Problem {
	for _, d := range o.Restore.Status.Plan.Databases {
		if d.Action == v1alpha1.DatabaseConflict {
			return Stalled(databaseReason(o, d), "%s: %s; nothing was written. status.plan.databases lists every database", d.Name, d.Message)
		}
	}
	return nil
}

// databaseReason is why a database stands in the way: what the inspection says, else that its client has no image, else
// whose it is.
func databaseReason(o *State, planned v1alpha1.PlannedDatabase) string {
	if o.Inspection != nil {
		for _, d := range o.Inspection.Databases {
			if d.Name == planned.Name && d.Reason != "" {
				return d.Reason
			}
		}
	}
	if isSQL(recorded.DatabaseKind(planned.Kind)) && ImageOf(o.Restore, planned.Name) == "" {
		return v1alpha1.ReasonDatabaseClientMissing
	}
	return v1alpha1.ReasonDatabaseOfOthers
}

// databaseWarnings say whose data are lost, and what the operator makes of a System database that nothing is loaded
// into. copied means that the installation that was backed up may still run.
func databaseWarnings(o *State, planned []v1alpha1.PlannedDatabase, judged []v1alpha1.PlannedObject, copied bool) []string {
	var out []string
	loads := slices.ContainsFunc(planned, isLoaded)
	if loads && slices.ContainsFunc(judged, func(p v1alpha1.PlannedObject) bool {
		return p.Kind == threescale.APIManagerKind && p.Verdict == v1alpha1.VerdictUnchanged
	}) {
		out = append(out, "the installation exists, and its pods write to the databases while they are loaded: stop the 3scale operator, and scale the Deployments of the installation to 0 before")
	}
	replaces := slices.ContainsFunc(planned, func(d v1alpha1.PlannedDatabase) bool { return d.Action == v1alpha1.DatabaseReplace })
	if replaces && copied && o.Restore.Spec.DatabaseSecrets != v1alpha1.DatabaseSecretsOmit {
		from := o.Inspection.Source
		out = append(out, fmt.Sprintf("if APIManager %q of namespace %q still runs, databases.policy Replace takes its data from it, since the restored Secrets lead to its databases: set spec.databaseSecrets to Omit, and make Secrets that lead to others", from.APIManager, from.Namespace))
	}
	if names := leftAlone(o); len(names) > 0 {
		out = append(out, fmt.Sprintf("left alone, since commit %s restored them and they hold data: %s; if one of them was lost since, and holds what a new installation wrote, load all of them again, which replaces what they hold: set spec.databases.policy to Replace, and: %s", short(o.Restore.Status.FoundCommit), strings.Join(names, ", "), ForceAgain(o.Restore)))
	}
	for _, d := range planned {
		if d.Name != string(threescale.SystemDatabase) || d.Action != v1alpha1.DatabaseSkip || d.Empty == nil || !*d.Empty {
			continue
		}
		how := "load its dump before"
		if d.DumpVersion != "" {
			how = "set spec.databases.policy to IfEmpty, or load another dump before"
		}
		out = append(out, "System's database is empty, and the operator sets up a new installation in an empty one: "+how)
	}
	return out
}

// leftAlone are the databases that an earlier try of this restore has loaded, as the branch shows.
func leftAlone(o *State) []string {
	var names []string
	for _, d := range o.Inspection.Databases {
		if o.Restore.LoadsDatabases() && loadedBefore(o, d) && !slices.Contains(o.Restore.Status.LoadedDatabases, d.Name) {
			names = append(names, d.Name)
		}
	}
	return names
}

// Loads are the databases that this restore loads, or has loaded.
func Loads(r *v1alpha1.ThreeScaleRestore) []v1alpha1.PlannedDatabase {
	return slices.DeleteFunc(slices.Clone(r.Status.Plan.Databases), func(d v1alpha1.PlannedDatabase) bool {
		return !isLoaded(d) && !slices.Contains(r.Status.LoadedDatabases, d.Name)
	})
}

// ToLoad are those of them that have yet to be loaded.
func ToLoad(r *v1alpha1.ThreeScaleRestore) []v1alpha1.PlannedDatabase {
	return slices.DeleteFunc(Loads(r), func(d v1alpha1.PlannedDatabase) bool {
		return slices.Contains(r.Status.LoadedDatabases, d.Name)
	})
}

// isLoaded reports whether the plan writes to a database.
func isLoaded(d v1alpha1.PlannedDatabase) bool {
	return d.Action == v1alpha1.DatabaseLoad || d.Action == v1alpha1.DatabaseReplace
}

// Encrypted reports whether the APIManager of the backup says that the connection to a database is encrypted.
func Encrypted(o *State, name string) bool {
	return o.Inspection != nil && slices.ContainsFunc(o.Inspection.Databases, func(d job.InspectedDatabase) bool {
		return d.Name == name && d.Encrypted
	})
}

// load has a Job load the databases. It is done when a Job was: one that failed may have left its mark in a database that
// it has loaded, and the next one removes that.
func load(o *State) Decision {
	if pushed(o) || len(Loads(o.Restore)) == 0 {
		return nil
	}
	if o.Loaded != nil && !o.Loaded.Completed && len(stillToLoad(o)) < len(ToLoad(o.Restore)) && (len(stillToLoad(o)) > 0 || o.Load.Failed) {
		return Act{NoteLoad} // before its report is deleted: what is loaded is not empty any more
	}
	loading := work{pod: o.Load, start: StartLoad, drop: DropLoad, doing: "loading the databases"}
	if r := o.Loaded; r != nil {
		loading.completed, loading.reason, loading.message = r.Completed && loadedAll(o), r.Reason, r.Message+"; nothing was committed"
	}
	if d := loading.decide(o); d != nil {
		return d
	}
	if len(ToLoad(o.Restore)) == 0 {
		return nil
	}
	return Act{NoteLoad}
}

// stillToLoad are the databases that are to be loaded, and are not by the report of the Job.
func stillToLoad(o *State) []v1alpha1.PlannedDatabase {
	return slices.DeleteFunc(ToLoad(o.Restore), func(d v1alpha1.PlannedDatabase) bool {
		return slices.ContainsFunc(o.Loaded.Databases, func(loaded job.LoadedDatabase) bool { return loaded.Name == d.Name })
	})
}

// loadedAll reports whether the report of the Job has all that was to be loaded.
func loadedAll(o *State) bool { return len(stillToLoad(o)) == 0 }

// noteLoaded keeps which databases the Job has loaded, also one that failed: what is loaded is not empty any more, and
// the next Job must leave it alone.
func (s *State) noteLoaded() {
	if s.Loaded == nil {
		return
	}
	status := &s.Restore.Status
	for _, d := range s.Loaded.Databases {
		planned := slices.ContainsFunc(ToLoad(s.Restore), func(p v1alpha1.PlannedDatabase) bool { return p.Name == d.Name })
		if planned {
			status.LoadedDatabases = append(status.LoadedDatabases, d.Name)
			for _, warning := range d.Warnings { // they are bounded: see job.ParseLoadResult
				status.Plan.Warnings = append(status.Plan.Warnings, fmt.Sprintf("%s: %s", d.Name, warning))
			}
		}
	}
}
