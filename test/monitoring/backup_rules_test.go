package monitoring_test

import "testing"

const backupPrefix = "threescale_backup"

func TestBackupTooOld(t *testing.T) {
	stale := func(object string) string { return series("threescale_backup_stale_timestamp_seconds", object) }
	suspended := func(object string) string { return series("threescale_backup_suspended", object) }
	runRules(t, "ThreeScaleBackupTooOld", map[string]ruleTest{
		"in time":         {"it is too old from the tenth minute on", samples{stale(nightly): "600x60", suspended(nightly): "0x60"}, "10m", nil},
		"not for long":    {"the run that ends now makes it good", samples{stale(nightly): "600x60", suspended(nightly): "0x60"}, "14m", nil},
		"too old":         {"no run came", samples{stale(nightly): "600x60", suspended(nightly): "0x60"}, "17m", []string{nightly}},
		"suspended":       {"nobody wants runs", samples{stale(nightly): "600x60", suspended(nightly): "1x60"}, "30m", nil},
		"suspended later": {"it ends when somebody suspends it", samples{stale(nightly): "600x60", suspended(nightly): "0x20 1x40"}, "22m", nil},
		"a run succeeded": {"the time moves on", samples{stale(nightly): "600x20 7200x40", suspended(nightly): "0x60"}, "22m", nil},
		"one-shot":        {"a backup without a schedule is never too old", samples{suspended(nightly): "0x60"}, "50m", nil},
		"two namespaces":  {"of one name, each by itself", samples{stale(nightly): "600x60", suspended(nightly): "0x60", stale(other): "7200x60", suspended(other): "0x60"}, "17m", []string{nightly}},
		"both":            {"of one name, each by itself", samples{stale(nightly): "600x60", suspended(nightly): "1x60", stale(other): "600x60", suspended(other): "0x60"}, "17m", []string{other}},
		"gone and back":   {"it waits again", samples{stale(nightly): "600x20 stale _x2 600x40", suspended(nightly): "0x20 stale _x2 0x40"}, "25m", nil},
		"back for long":   {"and fires again", samples{stale(nightly): "600x20 stale _x2 600x40", suspended(nightly): "0x20 stale _x2 0x40"}, "31m", []string{nightly}},
		"deleted":         {"it is nobody's any more", samples{stale(nightly): "600x20 stale", suspended(nightly): "0x20 stale"}, "25m", nil},
		"another pod": {
			"kube-state-metrics moved, and both its series are there for a while",
			samples{
				series("threescale_backup_stale_timestamp_seconds", nightly, `pod="a"`): "600x20",
				series("threescale_backup_stale_timestamp_seconds", nightly, `pod="b"`): "_x15 600x40",
				series("threescale_backup_suspended", nightly, `pod="b"`):               "_x15 0x40",
			},
			"17m",
			[]string{nightly},
		},
	})
}

func TestBackupFailing(t *testing.T) {
	completed := func(object, status, reason string) string {
		return conditionOf(backupPrefix, object, "BackupCompleted", status, reason)
	}
	runRules(t, "ThreeScaleBackupFailing", map[string]ruleTest{
		"completed":     {"nothing is wrong", samples{completed(nightly, "True", "Completed"): "1x60"}, "30m", nil},
		"just created":  {"no run is there yet", samples{completed(nightly, "False", "NotStarted"): "0x60"}, "30m", nil},
		"snapshot":      {"the first run goes", samples{completed(nightly, "False", "TakingSnapshot"): "0x60"}, "30m", nil},
		"first run":     {"the first run goes", samples{completed(nightly, "False", "Running"): "0x60"}, "30m", nil},
		"unknown":       {"Crossplane has lost what the function said; the function will say it again", samples{completed(nightly, "Unknown", "FatalError"): "0x60"}, "30m", nil},
		"failed":        {"it stays so until the next run", samples{completed(nightly, "False", "NoSpace"): "0x60"}, "6m", []string{nightly}},
		"not for long":  {"it waits a little", samples{completed(nightly, "False", "NoSpace"): "0x60"}, "4m", nil},
		"another cause": {"the next run failed for something else; the alert goes on", samples{completed(nightly, "False", "NoSpace"): "0x10 stale", completed(nightly, "False", "IO"): "_x10 0x40"}, "12m", []string{nightly}},
		"mended":        {"a run succeeded", samples{completed(nightly, "False", "NoSpace"): "0x10 stale", completed(nightly, "True", "Completed"): "_x10 1x40"}, "12m", nil},
		"of two":        {"one fails in each of two namespaces", samples{completed(nightly, "False", "IO"): "0x60", completed(other, "False", "Integrity"): "0x60", completed(weekly, "True", "Completed"): "1x60"}, "6m", []string{nightly, other}},
		"others":        {"other conditions are other alerts", samples{conditionOf(backupPrefix, nightly, "Warning", "False", "NoWarnings"): "0x60"}, "30m", nil},
	})
}

func TestBackupCannotStart(t *testing.T) {
	passed := func(object, status, reason string) string {
		return conditionOf(backupPrefix, object, "PreflightPassed", status, reason)
	}
	info := series("threescale_backup_info", nightly)
	scheduled := series("threescale_backup_info", nightly, `schedule="0 2 * * *"`)
	completed, suspended := series("threescale_backup_completed", nightly), series("threescale_backup_suspended", nightly)
	trigger := func(value string) string {
		return series("threescale_backup_trigger_info", nightly, `trigger="`+value+`"`)
	}
	handled := func(value string) string {
		return series("threescale_backup_handled_trigger_info", nightly, `trigger="`+value+`"`)
	}
	refused, gathering := passed(nightly, "False", "SecretMissing"), passed(nightly, "Unknown", "Gathering")
	runRules(t, "ThreeScaleBackupCannotStart", map[string]ruleTest{
		"passed":             {"nothing is wrong", samples{passed(nightly, "True", "Passed"): "1x60", info: "1x60", completed: "0x60", suspended: "0x60"}, "30m", nil},
		"refused":            {"it has never run", samples{refused: "0x60", info: "1x60", completed: "0x60", suspended: "0x60"}, "16m", []string{nightly}},
		"not for long":       {"what is missing may be about to come", samples{refused: "0x60", info: "1x60", completed: "0x60", suspended: "0x60"}, "14m", nil},
		"unknown":            {"what the checks need cannot be read", samples{gathering: "0x60", info: "1x60", completed: "0x60", suspended: "0x60"}, "16m", []string{nightly}},
		"another cause":      {"the time counts on", samples{refused: "0x10 stale", gathering: "_x10 0x40", info: "1x60", completed: "0x60", suspended: "0x60"}, "16m", []string{nightly}},
		"just created":       {"nobody has looked at it yet", samples{info: "1x60", completed: "0x60", suspended: "0x60"}, "10m", nil},
		"nobody looks":       {"the function is never called", samples{info: "1x60", completed: "0x60", suspended: "0x60"}, "16m", []string{nightly}},
		"done":               {"one run was asked for and is there; the installation may go", samples{refused: "0x60", info: "1x60", completed: "1x60", suspended: "0x60"}, "30m", nil},
		"scheduled":          {"more runs are asked for", samples{refused: "0x60", scheduled: "1x60", completed: "1x60", suspended: "0x60"}, "16m", []string{nightly}},
		"suspended":          {"nobody wants runs", samples{refused: "0x60", scheduled: "1x60", completed: "1x60", suspended: "1x60"}, "30m", nil},
		"suspended at first": {"likewise", samples{refused: "0x60", scheduled: "1x60", completed: "0x60", suspended: "1x60"}, "30m", nil},
		"triggered":          {"one more is asked for", samples{refused: "0x60", info: "1x60", completed: "1x60", suspended: "0x60", trigger("b"): "1x60", handled("a"): "1x60"}, "16m", []string{nightly}},
		"first trigger":      {"likewise", samples{refused: "0x60", info: "1x60", completed: "1x60", suspended: "0x60", trigger("a"): "1x60"}, "16m", []string{nightly}},
		"handled":            {"it was handled", samples{refused: "0x60", info: "1x60", completed: "1x60", suspended: "0x60", trigger("a"): "1x60", handled("a"): "1x60"}, "30m", nil},
		"suspended trigger":  {"a trigger starts a run in spite of it", samples{refused: "0x60", scheduled: "1x60", completed: "1x60", suspended: "1x60", trigger("b"): "1x60", handled("a"): "1x60"}, "16m", []string{nightly}},
		"of two": {
			"the other's trigger is none of its own",
			samples{refused: "0x60", info: "1x60", completed: "1x60", suspended: "0x60", series("threescale_backup_trigger_info", other, `trigger="a"`): "1x60", series("threescale_backup_info", other): "1x60", passed(other, "True", "Passed"): "1x60"},
			"30m", nil,
		},
	})
}

func TestBackupNotSynced(t *testing.T) {
	ofComposite := func(status, reason string) string {
		return series("threescale_backup_composite_condition", nightly, `composite="nightly-x7k2p"`, `type="Synced"`, `status="`+status+`"`, `reason="`+reason+`"`)
	}
	claim := conditionOf(backupPrefix, nightly, "Synced", "True", "ReconcileSuccess")
	runRules(t, "ThreeScaleBackupNotSynced", map[string]ruleTest{
		"synced":          {"nothing is wrong", samples{ofComposite("True", "ReconcileSuccess"): "1x60", claim: "1x60"}, "30m", nil},
		"refused":         {"a quota refuses an object; the claim does not know", samples{ofComposite("False", "ReconcileError"): "0x60", claim: "1x60"}, "16m", []string{nightly}},
		"not for long":    {"Crossplane tries again by itself", samples{ofComposite("False", "ReconcileError"): "0x60"}, "14m", nil},
		"mended":          {"the quota was raised", samples{ofComposite("False", "ReconcileError"): "0x20 stale", ofComposite("True", "ReconcileSuccess"): "_x20 1x40"}, "22m", nil},
		"without a claim": {"the object is the composite", samples{conditionOf(backupPrefix, nightly, "Synced", "False", "ReconcileError"): "0x60"}, "16m", []string{nightly}},
		"paused":          {"somebody wants it so", samples{ofComposite("False", "ReconcilePaused"): "0x60", conditionOf(backupPrefix, nightly, "Synced", "False", "ReconcilePaused"): "0x60"}, "30m", nil},
		"both": {
			"one alert an object; of one name, each namespace by itself",
			samples{ofComposite("False", "ReconcileError"): "0x60", conditionOf(backupPrefix, nightly, "Synced", "False", "ReconcileError"): "0x60", conditionOf(backupPrefix, other, "Synced", "False", "ReconcileError"): "0x60"},
			"16m", []string{nightly, other},
		},
	})
}

func TestBackupSlotsMissed(t *testing.T) {
	missed, verifications := series("threescale_backup_missed_slots", nightly), series("threescale_backup_verification_missed_slots", nightly)
	next, suspended := series("threescale_backup_next_run_timestamp_seconds", nightly), series("threescale_backup_suspended", nightly)
	runRules(t, "ThreeScaleBackupSlotsMissed", map[string]ruleTest{
		"none":           {"nothing is wrong", samples{missed: "0x90", verifications: "0x90", next: "7200x90", suspended: "0x90"}, "80m", nil},
		"one":            {"a run was not started", samples{missed: "1x90", verifications: "0x90", suspended: "0x90"}, "6m", []string{nightly}},
		"not for long":   {"it waits a little", samples{missed: "1x90", verifications: "0x90", suspended: "0x90"}, "4m", nil},
		"verifications":  {"likewise a verification", samples{missed: "0x90", verifications: "2x90", suspended: "0x90"}, "6m", []string{nightly}},
		"of the bucket":  {"likewise one of the bucket", samples{missed: "0x90", series("threescale_backup_offsite_verification_missed_slots", nightly): "1x90", suspended: "0x90"}, "6m", []string{nightly}},
		"started again":  {"a slot started on time", samples{missed: "3x10 0x80", verifications: "0x90", suspended: "0x90"}, "12m", nil},
		"due":            {"it starts a moment later", samples{missed: "0x90", verifications: "0x90", next: "600x90", suspended: "0x90"}, "24m", nil},
		"long due":       {"nobody starts it, and nobody counts", samples{missed: "0x90", verifications: "0x90", next: "600x90", suspended: "0x90"}, "32m", []string{nightly}},
		"suspended":      {"nobody wants runs", samples{missed: "1x90", verifications: "0x90", next: "600x90", suspended: "1x90"}, "60m", nil},
		"two namespaces": {"of one name, each by itself", samples{missed: "0x90", series("threescale_backup_missed_slots", other): "1x90", suspended: "0x90"}, "6m", []string{other}},
	})
}

func TestBackupDamaged(t *testing.T) {
	verified := func(object, status, reason string) string {
		return conditionOf(backupPrefix, object, "Verified", status, reason)
	}
	runRules(t, "ThreeScaleBackupDamaged", map[string]ruleTest{
		"verified":       {"nothing is wrong", samples{verified(nightly, "True", "Verified"): "1x60"}, "30m", nil},
		"not yet":        {"nobody has looked", samples{verified(nightly, "False", "NotVerified"): "0x60", verified(other, "Unknown", "NotVerified"): "0x60"}, "30m", nil},
		"not verified":   {"that is another alert", samples{verified(nightly, "False", "VerificationFailed"): "0x60"}, "30m", nil},
		"just seen":      {"Crossplane writes conditions after the rest of the status", samples{verified(nightly, "False", "Damaged"): "0x60"}, "0m", nil},
		"damaged":        {"at once, but for one evaluation", samples{verified(nightly, "False", "Damaged"): "0x60"}, "1m", []string{nightly}},
		"two namespaces": {"of one name, each by itself", samples{verified(nightly, "True", "Verified"): "1x60", verified(other, "False", "Damaged"): "0x60"}, "5m", []string{other}},
		"repaired":       {"the damaged runs are gone", samples{verified(nightly, "False", "Damaged"): "0x10 stale", verified(nightly, "True", "Verified"): "_x10 1x50"}, "15m", nil},
	})
}

func TestBackupVerificationFailing(t *testing.T) {
	verified := func(status, reason string) string {
		return conditionOf(backupPrefix, nightly, "Verified", status, reason)
	}
	runRules(t, "ThreeScaleBackupVerificationFailing", map[string]ruleTest{
		"verified":     {"nothing is wrong", samples{verified("True", "Verified"): "1x60"}, "30m", nil},
		"not yet":      {"nobody has looked", samples{verified("Unknown", "NotVerified"): "0x60"}, "30m", nil},
		"damaged":      {"that is another alert", samples{verified("False", "Damaged"): "0x60"}, "30m", nil},
		"false":        {"the volume could not be read", samples{verified("False", "VerificationFailed"): "0x60"}, "6m", []string{nightly}},
		"unknown":      {"whichever status says it", samples{verified("Unknown", "VerificationFailed"): "0x60"}, "6m", []string{nightly}},
		"true":         {"also where the one before found no damage", samples{verified("True", "VerificationFailed"): "1x60"}, "6m", []string{nightly}},
		"not for long": {"it waits a little", samples{verified("Unknown", "VerificationFailed"): "0x60"}, "4m", nil},
		"of a bucket":  {"likewise", samples{conditionOf(backupPrefix, nightly, "OffsiteVerified", "False", "VerificationFailed"): "0x60"}, "6m", []string{nightly}},
	})
}

func TestBackupNotOffsite(t *testing.T) {
	copied := func(object, status, reason string) string {
		return conditionOf(backupPrefix, object, "OffsiteCopied", status, reason)
	}
	success := series("threescale_backup_offsite_last_success_timestamp_seconds", nightly)
	runRules(t, "ThreeScaleBackupNotOffsite", map[string]ruleTest{
		"copied":        {"nothing is wrong", samples{copied(nightly, "True", "Copied"): "1x1600", success: "0x1600"}, "26h", nil},
		"never":         {"no copy ever succeeded", samples{copied(nightly, "False", "BucketDenied"): "0x1600"}, "25h", []string{nightly}},
		"not for long":  {"it is tried again", samples{copied(nightly, "False", "BucketUnreachable"): "0x1600"}, "23h", nil},
		"a day ago":     {"it counts once the newest copy is a day old", samples{copied(nightly, "False", "BucketUnreachable"): "0x1600", success: "-82800x1600"}, "24h", nil},
		"two days ago":  {"two nights are missing", samples{copied(nightly, "False", "BucketUnreachable"): "0x1600", success: "-82800x1600"}, "26h", []string{nightly}},
		"another cause": {"it goes on", samples{copied(nightly, "False", "BucketDenied"): "0x600 stale", copied(nightly, "False", "BucketFull"): "_x600 0x1000"}, "25h", []string{nightly}},
		"behind":        {"each copy takes longer than the time to the next run", samples{copied(nightly, "False", "CopyPending"): "0x1600", success: "0+60x1600"}, "26h", nil},
		"nobody asked":  {"spec.offsite was removed", samples{copied(nightly, "Unknown", "OffsiteRemoved"): "0x1600"}, "26h", nil},
		"of two":        {"of one name, each by itself", samples{copied(nightly, "True", "Copied"): "1x1600", copied(other, "False", "BucketNotFound"): "0x1600"}, "25h", []string{other}},
	})
}

func TestBackupOffsiteDamaged(t *testing.T) {
	verified := func(object, status, reason string) string {
		return conditionOf(backupPrefix, object, "OffsiteVerified", status, reason)
	}
	runRules(t, "ThreeScaleBackupOffsiteDamaged", map[string]ruleTest{
		"verified":     {"nothing is wrong", samples{verified(nightly, "True", "Verified"): "1x60"}, "30m", nil},
		"not verified": {"that is another alert", samples{verified(nightly, "False", "VerificationFailed"): "0x60"}, "30m", nil},
		"on volume":    {"that is another alert", samples{conditionOf(backupPrefix, nightly, "Verified", "False", "Damaged"): "0x60"}, "30m", nil},
		"damaged":      {"at once, but for one evaluation", samples{verified(nightly, "False", "Damaged"): "0x60"}, "1m", []string{nightly}},
		"repaired":     {"what was damaged was sent again", samples{verified(nightly, "False", "Damaged"): "0x10 stale", verified(nightly, "True", "Verified"): "_x10 1x50"}, "15m", nil},
	})
}

func TestMetricsLost(t *testing.T) {
	info := series("threescale_backup_info", nightly)
	const up = `up{job="kube-state-metrics",instance="a"}`
	job := []string{`job="kube-state-metrics"`}
	runRules(t, "ThreeScaleBackupMetricsLost", map[string]ruleTest{
		"there":        {"nothing is wrong", samples{info: "1x90", up: "1x90"}, "80m", nil},
		"deleted":      {"the last backup was deleted, and kube-state-metrics tells so", samples{info: "1x10 stale", up: "1x90"}, "80m", nil},
		"never":        {"there is no backup, and another job is down", samples{up: "0x90"}, "80m", nil},
		"down":         {"it is not scraped any more", samples{info: "1x10 stale", up: "1x10 0x80"}, "27m", job},
		"removed":      {"nobody scrapes it", samples{info: "1x10 stale", up: "1x10 stale"}, "27m", job},
		"not for long": {"it is started again", samples{info: "1x10 stale", up: "1x10 0x80"}, "24m", nil},
		"back":         {"it is scraped again", samples{info: "1x10 stale _x20 1x50", up: "1x10 0x20 1x60"}, "35m", nil},
		"one of two":   {"two of them share the work, or one is about to end", samples{info: "1x90", up: "0x90", `up{job="kube-state-metrics",instance="b"}`: "1x90"}, "80m", nil},
		"of restores":  {"they are told by the same", samples{series("threescale_restore_info", nightly): "1x10 stale", up: "1x10 0x80"}, "27m", job},
		"a day ago":    {"what is not there for a day is not missed", samples{info: "1x10 stale", up: "1x10 0x1600"}, "1461m", nil},
	})
}
