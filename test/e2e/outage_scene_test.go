//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/test/cluster"
	"threescale.dev/backup/test/cluster/ports"
)

// The moments at which an outage begins. Where nothing holds the work, such a moment
// may be over by then.
const (
	whenSnapshot = "when the first Secret is copied"
	whenDumped   = "when a database is dumped"
	whenFiles    = "when files are copied"
	whenCopied   = "when the copy to the bucket begins"
	whenRead     = "when the backup is read"
	whenWritten  = "when files are written"
	whenLoaded   = "when databases are loaded"
	whenPushed   = "when the commit is pushed"
)

// stand is what all outages share: the servers beside the cluster.
type stand struct {
	databases *databases
	options   func(*options)
	state     map[string]string // of the databases
	git       *cluster.Process
	address   string // of git
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{}
	s.databases, s.options = newDatabases(t, "postgresql")
	// As installations have it: what it was told outlives it.
	s.databases.run(s.databases.redis, "0", "CONFIG SET appendonly yes\nCONFIG REWRITE")
	s.state = s.databases.state()
	port, err := ports.Free(t.Context())
	require.NoError(t, err)
	s.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	program, err := os.Executable()
	require.NoError(t, err)
	s.git, err = shared.StartProcess(cluster.ProcessOptions{Name: "git-server", Path: program, Env: flux.git.Alone(s.address)})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.git.Stop()) })
	require.NoError(t, s.git.Await(t.Context(), "the Git server", func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", s.address)
		if err != nil {
			return err
		}
		return conn.Close()
	}))
	return s
}

// scene is an installation with one run of its backup, and an outage that comes
// while something is done with it.
type scene struct {
	*tenant
	*stand
	outage  outage
	bucket  *bucket
	first   string // its run
	digest  string // of its manifest
	seen    *sightings
	back    time.Time // when all was there again
	lasted  time.Duration
	missed  []string
	outcome string
	why     string        // it was not done by itself
	took    time.Duration // to the end, from when all was there again
}

func (s *stand) newScene(t *testing.T, o outage) *scene {
	t.Helper()
	own := *s
	databases := *s.databases
	databases.t, own.databases = t, &databases
	w := newTenant(t, s.options)
	t.Cleanup(func() { s.mend(t) })
	n := &scene{tenant: w, stand: &own, outage: o, bucket: w.newBucket(), outcome: "done"}
	require.NoError(t, w.apply(n.claim("first")))
	copied := w.untilCopied(nightly)
	n.first = lastRun(copied)
	n.digest, _ = status(copied, "lastRun", "manifestSHA256").(string)
	n.seen = n.see()
	return n
}

// mend has a failed outage spoil no other.
func (s *stand) mend(t *testing.T) {
	if !t.Failed() {
		return
	}
	ctx := context.WithoutCancel(t.Context())
	for _, name := range []string{"etcd", "kube-apiserver", "node", "crossplane", "function", "source-controller", "kustomize-controller"} {
		assert.NoError(t, shared.Process(name).Resume(ctx))
	}
	for _, p := range []*cluster.Process{flux.controller, s.git, store.Process(), s.databases.system.Process(), s.databases.redis.Process()} {
		assert.NoError(t, p.Resume(ctx))
	}
	s.databases.destroy()
	s.databases.fill()
}

func (s *scene) claim(trigger string) string {
	return claim(nightly, beside(fmt.Sprintf("trigger: %s, %s, %s", trigger, s.databases.spec(), s.bucket.offsite("{}"))))
}

// run does the work with its outage.
func (s *scene) run() {
	s.t.Helper()
	began := time.Now()
	stop := s.supervise()
	if s.outage.work == "Backup" {
		s.backUp()
	} else {
		s.restore()
	}
	stop()
	s.seen.stop()
	s.assertTold()
	for command, most := range s.seen.most {
		assert.Equal(s.t, 1, most, "there was never more than one pod at work on: %s", command)
	}
	s.t.Logf("%s, %s in all", s.line(), time.Since(began).Round(time.Second))
}

// line tells of an outage that passed.
func (s *scene) line() string {
	return fmt.Sprintf("%s: out for %s, missed by %v; told %v; %s %s after it %s", s.outage, s.lasted.Round(100*time.Millisecond), s.missed, s.seen.list(), s.outcome, s.took.Round(time.Second), s.why)
}

// backUp makes a second run.
func (s *scene) backUp() {
	s.t.Helper()
	reached, release := s.hold()
	require.NoError(s.t, s.apply(s.claim("second")))
	reached()
	s.strike(release)

	ended := s.until(nightly, "the second run to end", func(u *unstructured.Unstructured) bool {
		told := condition(u, v1alpha1.ConditionBackupCompleted)["status"]
		return len(runIDs(u)) == 2 && (newest(u) == v1alpha1.RunCompleted && told == "True" || newest(u) == v1alpha1.RunFailed && told == "False")
	})
	made := []string{s.first}
	runs := 2
	if newest(ended) == v1alpha1.RunFailed {
		s.outcome, s.why = "failed, and done by another trigger", message(ended, v1alpha1.ConditionBackupCompleted)
		assert.Contains(s.t, message(ended, v1alpha1.ConditionBackupCompleted), "spec.trigger")
		require.NoError(s.t, s.apply(s.claim("third")))
		runs++
	}
	done := s.untilCopied(nightly, s.first)
	s.took = time.Since(s.back)
	made = append(made, lastRun(done))
	assert.Len(s.t, runIDs(done), runs, "each trigger led to one run")
	dir := s.volumeDir(nightlyVolume)
	assert.Equal(s.t, made, s.verified(dir))
	s.assertSameFiles(dir, lastRun(done))
	s.databases.assertDumped(done)
	assert.ElementsMatch(s.t, made, s.bucket.runs())
	s.bucket.assertLayout(dir)
}

// newest is the state of the newest run.
func newest(u *unstructured.Unstructured) v1alpha1.RunState {
	list, _ := status(u, "runs").([]any)
	if len(list) == 0 {
		return ""
	}
	state, _ := list[0].(map[string]any)["state"].(string)
	return v1alpha1.RunState(state)
}

// restore brings back all that was lost, with the databases.
func (s *scene) restore() {
	s.t.Helper()
	kept := s.disaster()
	s.databases.destroy()
	d := s.deliver()
	s.admin("patch", "gitrepository", "apps", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"url":%q}}`, d.repository.HTTPAt(s.address)))
	reached, release := s.holdRestore(d)
	spec := "{kustomizationRef: {name: apps}, " + s.databases.loads("IfEmpty")
	if s.fromBucket() {
		spec += fmt.Sprintf(", restoreSource: {bucket: %s, manifestSHA256: %q}", merge(s.bucket.spec(), "prefix: "+strings.TrimSuffix(s.bucket.prefix, "/")), s.digest)
	}
	d.ask(dr("dr", spec+"}"))
	reached()
	s.strike(release)

	stalled := false
	s.eventually("the restore to be done", func(ctx context.Context) error {
		u, err := s.restoreOf(ctx, "dr")
		if err != nil {
			return err
		}
		if !stalled && condition(u, "Stalled")["status"] == "True" {
			stalled = true
			s.outcome, s.why = "stalled, and done when asked again", message(u, "Stalled")
			assert.Contains(s.t, message(u, "Stalled"), requestedAt)
			_, err := s.kubectl("annotate", "--overwrite", "threescalerestore", "dr", requestedAt+"=again")
			return err
		}
		if condition(u, "Ready")["status"] != "True" {
			return fmt.Errorf("status is %v", u.Object["status"])
		}
		return nil
	})
	s.took = time.Since(s.back)
	s.untilNothingStays()
	d.assertRestored(kept, d.onlyCommit(s.t, branch))
	s.databases.assertState(s.state)
	assert.Equal(s.t, []string{s.first}, s.verified(s.volumeDir(nightlyVolume)))
	assert.Equal(s.t, []string{s.first}, s.bucket.runs())
}

// fromBucket reports whether the restore reads the bucket.
func (s *scene) fromBucket() bool { return slices.Contains(s.outage.components, "object store") }

// hold prepares the moment of a backup: reached waits for it, and release lets the work go on.
func (s *scene) hold() (reached, release func()) {
	s.t.Helper()
	steps := s.steps(s.first)
	switch s.outage.moment {
	case whenSnapshot:
		return func() { s.eventually(steps[1].name, steps[1].reached) }, func() {}
	case whenDumped:
		return s.databases.hold()
	case whenFiles:
		g := newGate(s.t, s.writeFile("held.txt", []byte("held here")))
		return g.reached, g.open
	}
	before := s.soFarCopied()
	return func() { s.untilJobOf("a copy of the second run", v1alpha1.LabelCopy, "", before) }, func() {}
}

// holdRestore does so for a restore.
func (s *scene) holdRestore(d *delivery) (reached, release func()) {
	s.t.Helper()
	none := func() {}
	switch {
	case s.outage.moment == whenLoaded:
		return func() { s.untilJobOf("the databases to be loaded", v1alpha1.LabelRestore, "dr-load", nil) }, none
	case s.outage.moment == whenPushed:
		return d.holdPush()
	case s.fromBucket():
		prefix := map[string]string{whenRead: "dr-inspect", whenWritten: "dr-refill"}[s.outage.moment]
		return func() { s.untilJobOf("a pod that reads the bucket", v1alpha1.LabelRestore, prefix, nil) }, none
	}
	// One of the files of the backup, which both pods read.
	file := anyFile(s.t, filepath.Join(s.volumeDir(nightlyVolume), "runs", s.first, "system-filestorage-pvc"))
	if s.outage.moment == whenRead {
		g := newGate(s.t, file)
		return g.reached, g.open
	}
	var g *gate
	return func() {
		s.eventually("the plan", func(ctx context.Context) error {
			u, err := s.restoreOf(ctx, "dr")
			if err == nil && status(u, "plan") == nil {
				err = errNotYet
			}
			return err
		})
		g = newGate(s.t, file)
		g.reached()
	}, func() { g.open() }
}

// hold keeps a dump of System's database waiting for a lock.
func (d *databases) hold() (reached, release func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	held := make(chan struct{})
	go func() {
		defer close(held)
		// It ends when it is told to, or with the server.
		_, _ = d.system.Run(ctx, "system", "SET application_name = 'holder';\nBEGIN;\nLOCK TABLE extra IN ACCESS EXCLUSIVE MODE;\nSELECT pg_sleep(600);")
	}()
	until := func(what, granted string) {
		require.NoError(d.t, cluster.Eventually(ctx, patience, what, func(ctx context.Context) error {
			out, err := d.system.Run(ctx, "system", "SELECT count(*) FROM pg_locks WHERE relation = 'extra'::regclass AND "+granted+";")
			if err == nil && strings.TrimSpace(out) == "0" {
				err = errNotYet
			}
			return err
		}))
	}
	until("the table to be locked", "granted")
	release = sync.OnceFunc(func() {
		// It may be gone with the server.
		_, _ = d.system.Run(context.WithoutCancel(ctx), "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder';")
		cancel()
		<-held
	})
	d.t.Cleanup(release)
	return func() { until("a dump to wait for the lock", "NOT granted") }, release
}

// holdPush keeps a push in the server's hands: it has all objects, and not yet moved the branch.
func (d *delivery) holdPush() (reached, release func()) {
	d.t.Helper()
	dir := d.t.TempDir()
	require.NoError(d.t, d.repository.SetUpdateHook(fmt.Sprintf("#!/bin/sh\ntouch %[1]s/reached\nwhile [ -d %[1]s ] && ! [ -e %[1]s/release ]; do sleep 0.1; done\n", dir)))
	return func() {
			d.eventually("the push", func(context.Context) error {
				_, err := os.Stat(filepath.Join(dir, "reached"))
				return err
			})
		}, func() {
			require.NoError(d.t, os.WriteFile(filepath.Join(dir, "release"), nil, 0o600))
		}
}

// untilJobOf waits for a Job with a label, whose name has a prefix and is not one of those before.
func (s *scene) untilJobOf(what, label, prefix string, before []string) {
	s.t.Helper()
	s.eventually(what, func(ctx context.Context) error {
		var jobs batchv1.JobList
		if err := shared.Client().List(ctx, &jobs, client.InNamespace(s.namespace), client.HasLabels{label}); err != nil {
			return err
		}
		for _, j := range jobs.Items {
			if strings.HasPrefix(j.Name, prefix) && !slices.Contains(before, j.Name) && j.Status.Active > 0 {
				return nil
			}
		}
		return errNotYet
	})
}

// soFarCopied are the Jobs of copies that there are.
func (s *scene) soFarCopied() []string {
	s.t.Helper()
	return strings.Fields(s.admin("get", "jobs", "-l", v1alpha1.LabelCopy, "-o", "jsonpath={.items[*].metadata.name}"))
}

// strike has the components fail, lets the work go on without them, and brings
// them back, all at once, when they have been missed.
func (s *scene) strike(release func()) {
	s.t.Helper()
	all := stack()
	began := time.Now()
	checks := map[string]func(context.Context) error{}
	for _, name := range s.outage.components {
		if missed := all[name].missed; missed != nil {
			checks[name] = missed(s)
		}
	}
	var backs []func(context.Context) error
	for _, name := range s.outage.components {
		back, err := all[name].strike(s)
		require.NoError(s.t, err, name)
		backs = append(backs, back)
	}
	release()
	s.notice(checks)
	s.pause(max(unnoticed-time.Since(began), unnoticed/2))
	s.lasted = time.Since(began)
	s.resume(backs)
	s.back = time.Now()
}

// notice waits a while for each component to be missed.
func (s *scene) notice(checks map[string]func(context.Context) error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for name, check := range checks {
		all.Go(func() {
			if cluster.Eventually(s.t.Context(), noticing, name+" to be missed", check) == nil {
				mu.Lock()
				defer mu.Unlock()
				s.missed = append(s.missed, name)
			}
		})
	}
	all.Wait()
	slices.Sort(s.missed)
}

// resume starts again what was out, as systemd or the kubelet would: until it stays.
func (s *scene) resume(backs []func(context.Context) error) {
	s.t.Helper()
	errs := make(chan error)
	for _, back := range backs {
		go func() { errs <- cluster.Eventually(s.t.Context(), patience, "a component to come back", back) }()
	}
	for range backs {
		assert.NoError(s.t, <-errs)
	}
	require.False(s.t, s.t.Failed())
}

// pause is the length of an outage that nothing tells the end of.
func (s *scene) pause(length time.Duration) {
	select {
	case <-time.After(length):
	case <-s.t.Context().Done():
	}
}

// supervise starts again what has ended because others were out, as the kubelet or systemd does.
func (s *scene) supervise() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, p := range shared.Ended() {
				s.seen.note("ended " + p.Name())
				_ = p.Resume(ctx) // it is tried again
			}
			s.pause(time.Second)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.t.Cleanup(stop)
	return stop
}

// sightings are what was seen of a work, by whoever looks all the time.
type sightings struct {
	sync.Mutex
	stop func()
	// notes are condition and reason, and others.
	notes map[string]bool
	// most pods of a command at work at once, by the command.
	most map[string]int
}

// see looks at the claim, the restore and the pods until it is stopped.
func (s *scene) see() *sightings {
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	seen := &sightings{notes: map[string]bool{}, most: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			seen.count(s.movers())
			s.look(ctx, seen)
			s.pause(100 * time.Millisecond)
		}
	}()
	seen.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.t.Cleanup(seen.stop)
	return seen
}

// look notes the conditions of what is at work, if the API server answers.
func (s *scene) look(ctx context.Context, seen *sightings) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	get := func() (*unstructured.Unstructured, error) { return s.restoreOf(ctx, "dr") }
	names := []string{"Ready", "Stalled"}
	if s.outage.work == "Backup" {
		get = func() (*unstructured.Unstructured, error) { return s.get(ctx, nightly) }
		names = []string{v1alpha1.ConditionPreflightPassed, v1alpha1.ConditionBackupCompleted, v1alpha1.ConditionOffsiteCopied}
	}
	u, err := get()
	if err != nil {
		return
	}
	for _, name := range names {
		if reason, ok := condition(u, name)["reason"].(string); ok {
			seen.note(name + " " + reason)
		}
	}
}

// movers counts the movers at work in the namespace, by their commands.
func (s *scene) movers() map[string]int {
	counts := map[string]int{}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		args, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(args, []byte(job.MoverPath+"\x00")) || !bytes.Contains(args, []byte("\x00--namespace="+s.namespace+"\x00")) {
			continue
		}
		command := string(bytes.Split(args, []byte{0})[1])
		if command != job.DumpCommand && command != job.LoadCommand { // one for each database
			counts[command]++
		}
	}
	return counts
}

func (s *sightings) note(text string) {
	s.Lock()
	defer s.Unlock()
	s.notes[text] = true
}

func (s *sightings) has(text string) bool {
	s.Lock()
	defer s.Unlock()
	return s.notes[text]
}

func (s *sightings) count(movers map[string]int) {
	s.Lock()
	defer s.Unlock()
	for command, count := range movers {
		s.most[command] = max(s.most[command], count)
	}
}

// usual are the reasons of a work that goes well.
func usual() []string {
	return []string{
		v1alpha1.ReasonPassed, v1alpha1.ReasonGathering, v1alpha1.ReasonTakingSnapshot, v1alpha1.ReasonRunning, v1alpha1.ReasonCompleted,
		v1alpha1.ReasonCopyPending, v1alpha1.ReasonCopied, v1alpha1.ReasonProgressing, v1alpha1.ReasonRestored,
	}
}

// list are those sightings that are not of a work that goes well.
func (s *sightings) list() []string {
	s.Lock()
	defer s.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.notes)), func(note string) bool {
		_, reason, _ := strings.Cut(note, " ")
		return slices.Contains(usual(), reason)
	})
}

// assertTold: no condition told of anything else than what was out.
func (s *scene) assertTold() {
	s.t.Helper()
	var reasons []string
	for _, name := range s.outage.components {
		reasons = append(reasons, stack()[name].reasons...)
	}
	for _, note := range s.seen.list() {
		kind, reason, _ := strings.Cut(note, " ")
		if kind != "ended" {
			assert.Contains(s.t, reasons, reason, "%s, which is what was out", note)
		}
	}
}
