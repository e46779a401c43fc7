package compose_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/retention"
	"threescale.dev/backup/fn/timezone"
)

const decadeSpec = `fileStorage: Skip, schedule: "0 2 * * *", timeZone: Europe/Berlin, verify: {schedule: "0 5 1 * *"},
	retention: {keepDaily: 14, keepWeekly: 8, keepMonthly: 12, keepYearly: 10},
	offsite: {bucket: {endpoint: s3.example.com, bucketName: backups, secretRef: {name: bucket}}, verify: {schedule: "0 5 2 * *"}}`

// TestTenYears lives ten years of a nightly schedule, night by night, once as
// everybody hopes and then with crashes, a status that is lost, Jobs that somebody
// deletes, outages and clocks that jump. At every moment there is one run in
// flight at most, the newest run is on the volume, and what is there is exactly
// what the rules keep. A bucket that is away for weeks changes none of it, and has
// the newest run once it is back.
func TestTenYears(t *testing.T) {
	t.Parallel()
	years := 10
	if testing.Short() || raceDetector {
		years = 1
	}
	lives := map[string]struct{ trouble, jumps, nodes, lost int }{ // one in so many; of the newest 14 days at most
		"Hoped":   {0, 0, 0, 0},
		"Crashes": {6, 0, 0, 0},
		"Nodes":   {12, 0, 20, 0},
		"Jumps":   {12, 60, 0, 7}, // all clocks at once, and another way before they were right
	}
	for name, tc := range lives {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecade(t, tc.trouble, tc.jumps)
			d.nodes, d.mostLost = tc.nodes, tc.lost
			lived := years
			if tc.jumps+tc.nodes > 0 {
				lived = min(years, 3) // a wrong clock has its consequences within months
			}
			end := d.now().AddDate(lived, 0, 0)
			nights := 0
			for d.now().Add(-d.offset).Before(end) {
				d.night()
				nights++
			}
			d.requireKept()
			d.requireCopied()
			if tc.jumps+tc.nodes == 0 {
				require.Equal(t, wanted(d.all, d.zone), slices.Sorted(maps.Keys(d.volume)), "as if the rules had seen all runs at once")
			}
			t.Logf("%d nights, %d runs, of which %d are there; %d verifications; %d copies; %d troubles; %d of the newest 14 days lost at most", nights, len(d.all), len(d.volume), d.verifications, d.copies, d.troubles, d.lost)
		})
	}
}

// decade is a world with a volume, which holds runs by their ID with their start.
type decade struct {
	*pocket
	rnd            *rand.Rand
	zone           *time.Location
	trouble, jumps int
	volume         map[string]time.Time
	all            map[string]time.Time // every run that ever verified
	newest         string               // the one that verified last
	written        []string             // all, in the order of writing, which the volume knows
	truly          map[string]time.Time // when each was written
	nodes          int                  // one in so many has a clock that is ahead
	lost, mostLost int                  // of the newest 14 days, at most
	offset         time.Duration        // by which the clock is wrong
	verifications  int
	troubles       int
	bucket         map[string]time.Time // runs in it, likewise
	copies         int
	away           int // nights for which the bucket is still away
}

func newDecade(t *testing.T, trouble, jumps int) *decade {
	t.Helper()
	zone, err := timezone.Load("Europe/Berlin")
	require.NoError(t, err)
	d := &decade{
		pocket: newPocket(t, beside(decadeSpec)), zone: zone, rnd: rand.New(rand.NewPCG(7, uint64(trouble))), trouble: trouble, jumps: jumps,
		volume: map[string]time.Time{}, all: map[string]time.Time{}, truly: map[string]time.Time{}, bucket: map[string]time.Time{},
	}
	d.installed = append(d.installed, object(t, `{apiVersion: v1, kind: Secret, metadata: {name: bucket, namespace: 3scale}, data: {accesskey: YQ==, secretkey: Yg==}}`))
	d.call()
	return d
}

func (d *decade) now() time.Time       { return d.observed.Now }
func (d *decade) setNow(now time.Time) { d.observed.Now = now }

// chance tells whether something happens that happens one in so many times; never for 0.
func (d *decade) chance(oneIn int) bool { return oneIn > 0 && d.rnd.IntN(oneIn) == 0 }

// night goes to the next slot and lets happen what it brings.
func (d *decade) night() {
	d.t.Helper()
	truly := d.now().Add(-d.offset)
	if d.chance(d.jumps) {
		d.offset = time.Duration(d.rnd.IntN(80*24)-40*24) * time.Hour
		if d.chance(4) {
			d.offset *= 100 // years
		}
	} else if d.chance(d.jumps / 6) {
		d.offset = 0 // somebody sets it right
	}
	if d.away = max(d.away-1, 0); d.chance(d.trouble * 5) {
		d.away = d.rnd.IntN(20)
	}
	days := 1
	if d.chance(d.trouble * 5) {
		days += d.rnd.IntN(20) // nothing runs, core neither
		d.troubles++
	}
	local := truly.In(d.zone)
	slot := time.Date(local.Year(), local.Month(), local.Day()+days, 2, 0, 0, 0, d.zone)
	d.setNow(slot.UTC().Add(d.offset + time.Duration(d.rnd.IntN(15))*time.Second))
	for range 14 {
		d.call()
		d.mishap()
		if !d.work() {
			break
		}
	}
	d.setNow(d.now().Add(4 * time.Hour)) // the verification's slot, once a month
	for range 8 {
		d.call()
		if !d.work() {
			break
		}
	}
}

// mishap is what goes wrong now and then.
func (d *decade) mishap() {
	if !d.chance(d.trouble * 2) {
		return
	}
	d.troubles++
	switch d.rnd.IntN(4) {
	case 0:
		d.observed.Composite.Status = v1alpha1.ThreeScaleBackupStatus{}
	case 1:
		d.deleteFirst("job/", "verify-job/", "copy-job/", "bucket-verify-job/")
	case 2:
		d.deleteFirst("secret/", "objects/", "report/", "verify-report/", "copy-report/", "bucket-verify-report/")
	case 3:
		d.deleteFirst("role", "service-account")
	}
}

func (d *decade) deleteFirst(prefixes ...string) {
	for _, key := range slices.Sorted(maps.Keys(d.observed.Composed)) {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
			delete(d.observed.Composed, key)
			return
		}
	}
}

// call reconciles, and checks what must be true at every moment.
func (d *decade) call() {
	d.t.Helper()
	d.reconcile()
	require.LessOrEqual(d.t, len(d.active()), 1, "two at once")
	if d.newest != "" {
		require.Contains(d.t, d.volume, d.newest, "the newest verified run is gone")
	}
	if o := d.observed.Composite.Status.Offsite; o != nil && o.Run != "" {
		require.Contains(d.t, d.bucket, o.Run, "the status says that it is in the bucket")
	}
	if at := d.observed.Composite.Status.LastSuccessfulTime; at != nil && d.jumps == 0 {
		require.False(d.t, at.After(d.now().Add(5*time.Minute)), "a success in the future would hide that there is none since")
	}
}

func hasEnded(o *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	return len(conditions) > 0
}

// work lets the pod of the Job at work do its part, and tells whether there is
// anything that goes on.
func (d *decade) work() bool {
	d.t.Helper()
	if active := d.active(); len(active) > 0 {
		o, condition := active[0], "Complete"
		switch {
		case d.chance(d.trouble * 4):
			condition = "Failed"
			d.troubles++
		case o.GetLabels()[v1alpha1.LabelVerification] != "":
			d.verifies(o)
		case o.GetLabels()[v1alpha1.LabelCopy] != "" && d.away > 0:
			condition = "Failed"
		case o.GetLabels()[v1alpha1.LabelCopy] != "":
			d.copiesOff(o)
		default:
			d.backsUp(o)
		}
		set([]any{map[string]any{
			"type": condition, "status": "True", "reason": "x", "message": "y", "lastTransitionTime": d.now().Format(time.RFC3339),
		}}, "status", "conditions")(o.Object)
		return true
	}
	status := d.observed.Composite.Status
	return slices.ContainsFunc(status.Runs, func(r v1alpha1.Run) bool { return r.State == v1alpha1.RunRunning }) ||
		status.Verification != nil && status.Verification.State == v1alpha1.RunRunning ||
		status.Offsite != nil && (status.Offsite.State == v1alpha1.RunRunning || status.LastRun != nil && status.Offsite.Run != status.LastRun.ID && status.Offsite.State != v1alpha1.RunFailed)
}

// copiesOff does what the mover does: all runs of the volume that the bucket lacks, and
// then the rules.
func (d *decade) copiesOff(o *unstructured.Unstructured) {
	d.t.Helper()
	report := d.observed.Composed["copy-report/"+o.GetLabels()[v1alpha1.LabelCopy]]
	if report == nil {
		return // the pod cannot tell
	}
	run := ""
	for _, arg := range argsOf(o) {
		if value, ok := strings.CutPrefix(arg, "--run="); ok {
			run = value
		}
	}
	require.Contains(d.t, d.volume, run, "it is asked for what there is")
	maps.Copy(d.bucket, d.volume)
	var runs []retention.Run
	for _, id := range d.written {
		if start, there := d.bucket[id]; there {
			runs = append(runs, retention.Run{ID: id, Start: start})
		}
	}
	policy, zone := policyOf(d.t, argsOf(o))
	for _, decision := range policy.ApplyInOrder(runs, zone, d.now()) {
		if !decision.Kept() && decision.ID != run {
			delete(d.bucket, decision.ID)
		}
	}
	d.copies++
	result := job.CopyResult{Run: run, Completed: true, CompletionTime: d.now(), ManifestSHA256: digestOf(run)}
	set(jsonOf(d.t, result), "data", job.KeyCopy)(report.Object)
}

// requireCopied: once the bucket is back, it has the newest run, and what the rules say.
func (d *decade) requireCopied() {
	d.t.Helper()
	if d.jumps+d.nodes > 0 {
		return // a slot may be in a future that is over
	}
	d.away, d.trouble = 0, 0
	d.night()
	d.night()
	status := d.observed.Composite.Status
	require.NotNil(d.t, status.Offsite)
	require.Equal(d.t, status.LastRun.ID, status.Offsite.Run)
	require.Contains(d.t, d.bucket, d.newest)
	require.Subset(d.t, slices.Collect(maps.Keys(d.bucket)), slices.Collect(maps.Keys(d.volume)), "what the volume has")
}

// backsUp does what the mover does: a run that is there already is reported
// again, and after a run that verified the rules are applied.
func (d *decade) backsUp(o *unstructured.Unstructured) {
	d.t.Helper()
	run := o.GetLabels()[v1alpha1.LabelRun]
	node := d.now()
	if d.chance(d.nodes) {
		node = node.AddDate(0, 0, 1+d.rnd.IntN(3650))
	}
	if _, there := d.volume[run]; !there {
		d.volume[run], d.all[run] = node, node
		again := func(id string) bool { return id == run } // a slot of before, which a clock came back to
		d.written = append(slices.DeleteFunc(d.written, again), run)
		d.truly[run] = d.now().Add(-d.offset)
	}
	d.newest = run
	before := maps.Clone(d.volume)
	var runs []retention.Run
	for _, id := range d.written {
		if start, there := d.volume[id]; there {
			runs = append(runs, retention.Run{ID: id, Start: start})
		}
	}
	policy, zone := policyOf(d.t, argsOf(o))
	var removed []string
	for _, decision := range policy.ApplyInOrder(runs, zone, node) {
		if !decision.Kept() && decision.ID != run {
			delete(d.volume, decision.ID)
			removed = append(removed, decision.ID)
		}
	}
	d.requireNoneDisplaced(before)
	if d.jumps+d.nodes == 0 {
		require.Equal(d.t, wanted(before, d.zone), slices.Sorted(maps.Keys(d.volume)), "exactly what the rules keep")
	}
	report := d.observed.Composed["report/"+run]
	if report == nil {
		return // somebody deleted it: the run will be called a failure, and is there all the same
	}
	result := completed(run)
	result.StartTime, result.CompletionTime, result.Removed = d.volume[run], node.Add(time.Minute), removed
	set(jsonOf(d.t, result), "data", job.KeyResult)(report.Object)
}

// requireNoneDisplaced: whatever the clocks said, of the newest days that had runs
// nearly all have one still.
func (d *decade) requireNoneDisplaced(before map[string]time.Time) {
	d.t.Helper()
	days := func(of map[string]time.Time) map[string]bool {
		found := map[string]bool{}
		for id := range of {
			found[d.truly[id].In(d.zone).Format(time.DateOnly)] = true
		}
		return found
	}
	had := slices.Sorted(maps.Keys(days(before)))
	newest := had[max(0, len(had)-14):]
	has := days(d.volume)
	lost := 0
	for _, day := range newest {
		if !has[day] {
			lost++
		}
	}
	d.lost = max(d.lost, lost)
	require.LessOrEqual(d.t, lost, d.mostLost, "%v of %v", has, newest)
}

func (d *decade) verifies(o *unstructured.Unstructured) {
	id := o.GetLabels()[v1alpha1.LabelVerification]
	if report := cmp.Or(d.observed.Composed["verify-report/"+id], d.observed.Composed["bucket-verify-report/"+id]); report != nil {
		d.verifications++
		set(jsonOf(d.t, job.Verification{Completed: true, CompletionTime: d.now(), Runs: int64(len(d.volume))}), "data", job.KeyVerification)(report.Object)
	}
}

// requireKept: at the end all that the rules say is there.
func (d *decade) requireKept() {
	d.t.Helper()
	require.NotEmpty(d.t, d.volume)
	require.Less(d.t, len(d.volume), 14+8+12+10+40, "what a clock misdated goes in its turn")
	if d.jumps+d.nodes == 0 {
		require.Equal(d.t, wanted(d.volume, d.zone), slices.Sorted(maps.Keys(d.volume)), "no run is there that the rules let go")
	}
}

// policyOf reads the policy and its time zone out of a Job's command line.
func policyOf(t testing.TB, args []string) (p retention.Policy, zone *time.Location) {
	t.Helper()
	fields := map[string]*int32{
		"--keep-last": &p.KeepLast, "--keep-hourly": &p.KeepHourly, "--keep-daily": &p.KeepDaily,
		"--keep-weekly": &p.KeepWeekly, "--keep-monthly": &p.KeepMonthly, "--keep-yearly": &p.KeepYearly,
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		if field := fields[name]; field != nil {
			count, err := strconv.Atoi(value)
			require.NoError(t, err)
			*field = int32(count)
		}
		if name == "--time-zone" {
			var err error
			zone, err = timezone.Load(value)
			require.NoError(t, err)
		}
	}
	return p, zone
}

// wanted are the runs that the rules of decadeSpec keep, sorted, said in the
// plainest way: the newest of each period that has one, for so many periods, and
// the oldest of all while a rule has not seen so many.
func wanted(runs map[string]time.Time, zone *time.Location) []string {
	ids := slices.SortedFunc(maps.Keys(runs), func(a, b string) int {
		if order := runs[b].Compare(runs[a]); order != 0 {
			return order
		}
		return strings.Compare(b, a)
	})
	rules := map[string]struct {
		count  int
		period func(time.Time) string
	}{
		"daily": {14, func(at time.Time) string { return at.Format(time.DateOnly) }},
		"weekly": {8, func(at time.Time) string {
			year, week := at.ISOWeek()
			return fmt.Sprint(year, week)
		}},
		"monthly": {12, func(at time.Time) string { return at.Format("2006-01") }},
		"yearly":  {10, func(at time.Time) string { return at.Format("2006") }},
	}
	kept := map[string]bool{ids[0]: true}
	for _, rule := range rules {
		periods := map[string]bool{}
		for _, id := range ids {
			period := rule.period(runs[id].In(zone))
			if len(periods) < rule.count && !periods[period] {
				periods[period] = true
				kept[id] = true
			}
		}
		if len(periods) < rule.count {
			kept[ids[len(ids)-1]] = true
		}
	}
	return slices.Sorted(maps.Keys(kept))
}
