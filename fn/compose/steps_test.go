package compose

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/facts"
	"threescale.dev/backup/fn/compose/internal/preflight"
	"threescale.dev/backup/fn/compose/internal/slots"
	"threescale.dev/backup/fn/compose/internal/task"
	"threescale.dev/backup/fn/compose/internal/text"
)

// fake is the Work of a kind that there is not.
type fake struct {
	task.Task

	kind     string
	starts   bool
	silent   bool
	warnings []text.Finding
	err      error
}

func (w *fake) Next(_ *facts.Facts, findings preflight.Findings, others []task.Work) task.Work {
	next := *w
	for _, other := range others {
		next.starts = next.starts && !other.Base().InFlight()
	}
	if next.starts && findings.Passed() {
		next.State = v1alpha1.RunRunning
	}
	return &next
}

func (w *fake) Record(_ *facts.Facts, status *v1alpha1.ThreeScaleBackupStatus) {
	status.LastHandledTrigger += w.kind
}

func (w *fake) Resources(_ *facts.Facts, _ v1alpha1.ThreeScaleBackupStatus, out map[string]runtime.Object) error {
	out[w.kind] = nil
	return w.err
}

func (w *fake) ReportName(*facts.Facts) string { return w.kind }

func (w *fake) Condition(*facts.Facts, v1alpha1.ThreeScaleBackupStatus) *metav1.Condition {
	if w.silent {
		return nil
	}
	return &metav1.Condition{Type: w.kind}
}

func (w *fake) Warnings(*facts.Facts, v1alpha1.ThreeScaleBackupStatus) []text.Finding {
	return w.warnings
}

func (w *fake) Events(*facts.Facts, v1alpha1.ThreeScaleBackupStatus) []text.Event {
	return []text.Event{{Reason: w.kind}}
}

// TestDecide: the kinds start in their order, each knowing what those ahead do now.
func TestDecide(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason        string
		first, second *fake
		problems      []text.Finding
		want          []bool
	}{
		"Nothing": {"none is due", &fake{}, &fake{}, nil, []bool{false, false}},
		"First":   {"it goes ahead of the second", &fake{starts: true}, &fake{starts: true}, nil, []bool{true, false}},
		"Second":  {"the first is not due", &fake{}, &fake{starts: true}, nil, []bool{false, true}},
		"Waits":   {"the second is in flight", &fake{starts: true}, &fake{Task: task.Task{State: v1alpha1.RunRunning}}, nil, []bool{false, true}},
		"Refused": {"preflight has not passed", &fake{starts: true}, &fake{}, []text.Finding{{}}, []bool{false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			past := []task.Work{tc.first, tc.second}
			now := decide(&facts.Facts{}, preflight.Findings{Problems: tc.problems}, past)
			assert.Equal(t, tc.want, []bool{now[0].Base().InFlight(), now[1].Base().InFlight()}, tc.reason)
			assert.Same(t, tc.first, past[0], "what was does not change")
		})
	}
}

// TestRender: what the kinds have to say, in their order.
func TestRender(t *testing.T) {
	t.Parallel()
	f := &facts.Facts{Destination: facts.Destination{Wish: v1alpha1.BackupVolume{ClaimName: "mine"}}}
	broken := errors.New("x")
	for name, tc := range map[string]struct {
		reason   string
		findings preflight.Findings
		second   fake
		types    []string
		reasons  []string
		fatal    error
	}{
		"Passed": {"all is well", preflight.Findings{}, fake{kind: "b"}, []string{v1alpha1.ConditionPreflightPassed, "a", v1alpha1.ConditionWarning, "b"}, []string{v1alpha1.ReasonPassed, "", v1alpha1.ReasonNoWarnings, ""}, nil},
		"Failed": {"the first problem names the reason", preflight.Findings{Problems: []text.Finding{{Reason: "P"}, {Reason: "Q"}}}, fake{kind: "b"}, []string{v1alpha1.ConditionPreflightPassed, "a", v1alpha1.ConditionWarning, "b"}, []string{"P", "", v1alpha1.ReasonNoWarnings, ""}, nil},
		"Warned": {"a kind warns behind preflight", preflight.Findings{Warnings: []text.Finding{{Reason: "W"}}}, fake{kind: "b", warnings: []text.Finding{{Reason: "V"}}}, []string{v1alpha1.ConditionPreflightPassed, "a", v1alpha1.ConditionWarning, "b"}, []string{v1alpha1.ReasonPassed, "", "W", ""}, nil},
		"Silent": {"a kind has nothing to tell", preflight.Findings{}, fake{kind: "b", silent: true}, []string{v1alpha1.ConditionPreflightPassed, "a", v1alpha1.ConditionWarning}, []string{v1alpha1.ReasonPassed, "", v1alpha1.ReasonNoWarnings}, nil},
		"Broken": {"a bug changes nothing", preflight.Findings{}, fake{kind: "b", err: broken}, []string{v1alpha1.ConditionPreflightPassed, "a", v1alpha1.ConditionWarning, "b"}, []string{v1alpha1.ReasonPassed, "", v1alpha1.ReasonNoWarnings, ""}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			works := []task.Work{&fake{kind: "a"}, &tc.second}
			status := record(f, works)
			assert.Equal(t, "ab", status.LastHandledTrigger)
			d := render(f, tc.findings, works, status)
			var types, reasons []string
			for _, c := range d.Conditions {
				types, reasons = append(types, c.Type), append(reasons, c.Reason)
			}
			assert.Equal(t, tc.types, types, tc.reason)
			assert.Equal(t, tc.reasons, reasons, tc.reason)
			assert.Equal(t, []text.Event{{Reason: "a"}, {Reason: "b"}}, d.Events)
			require.ErrorIs(t, d.Fatal, tc.fatal)
			assert.Equal(t, tc.findings.Passed(), d.Ready)
			assert.Len(t, d.Resources, 2)
		})
	}
}

// TestTTL: when core asks again if nothing that it watches changes.
func TestTTL(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	inFlight, ended := task.Task{State: v1alpha1.RunRunning}, task.Task{State: v1alpha1.RunFailed, EndedNow: true}
	atWork := func(since time.Duration) task.Task {
		j := &facts.Job{}
		j.CreationTimestamp = metav1.NewTime(now.Add(-since))
		return task.Task{Task: facts.Task{Job: j}, State: v1alpha1.RunRunning}
	}
	until := func(expression string) task.Task {
		return task.Task{Slots: slots.Of(slots.Input{Expression: expression, Now: now, From: now.Add(-time.Second)})}
	}
	past := task.Task{State: v1alpha1.RunCompleted}
	past.ID = "r"
	for name, tc := range map[string]struct {
		reason        string
		first, second task.Task
		change        func(*facts.Facts)
		failed        bool
		want          time.Duration
	}{
		"Done":         {reason: "a one-shot that has ended asks for nothing", first: past},
		"Failing":      {reason: "what the user corrects is looked at", failed: true, want: pollWaiting},
		"Copying":      {reason: "the next call can decide", first: inFlight, want: pollSoon},
		"Waiting":      {reason: "it waits for the user", first: inFlight, failed: true, want: pollWaiting},
		"JustStarted":  {reason: "a Job may end at once", first: atWork(time.Second), want: pollSoon},
		"Working":      {reason: "an end is noticed a tenth late at most", first: atWork(2 * time.Minute), want: 12 * time.Second},
		"Long":         {reason: "but not later than this", second: atWork(time.Hour), failed: true, want: pollWaiting},
		"Ended":        {reason: "the other may wait", second: ended, want: pollSoon},
		"Soon":         {reason: "a slot in a minute, which core may stretch by a tenth", first: until("1 12 * * *"), want: time.Minute * 10 / 11},
		"Far":          {reason: "core is not asked to remember for long", first: until("0 15 * * *"), want: maxWait},
		"Due":          {reason: "a slot waits for something", first: until("0 12 * * *"), want: pollWaiting},
		"Earlier":      {reason: "the first of all counts", first: until("0 15 * * *"), second: inFlight, want: pollSoon},
		"Readers":      {reason: "core does not tell that they are gone", change: func(f *facts.Facts) { f.Readers = []string{"r"} }, want: pollWaiting},
		"Unresponsive": {reason: "a trigger may have been dropped", first: past, change: func(f *facts.Facts) { f.Unresponsive = true }, want: pollWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &facts.Facts{Now: now}
			if tc.change != nil {
				tc.change(f)
			}
			status := v1alpha1.ThreeScaleBackupStatus{CompletionTime: &metav1.Time{Time: now.Add(-time.Minute)}}
			assert.Equal(t, tc.want, ttl(f, !tc.failed, []task.Work{&fake{Task: tc.first}, &fake{Task: tc.second}}, status), tc.reason)
		})
	}
}

// TestGuard: no answer has core delete the volume, or a Job at work.
func TestGuard(t *testing.T) {
	t.Parallel()
	job := func(condition string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"kind": "Job", "metadata": map[string]any{"name": "j"}, "status": map[string]any{"conditions": []any{map[string]any{"type": condition, "status": "True"}}}}}
	}
	dropped := func(name string) []task.Work {
		w := &fake{}
		w.Dropped = &facts.Job{}
		w.Dropped.Name = name
		return []task.Work{w}
	}
	for name, tc := range map[string]struct {
		reason, key string
		object      *unstructured.Unstructured
		kept, want  bool
	}{
		"Volume":       {"the backups are on it", facts.KeyVolume, &unstructured.Unstructured{Object: map[string]any{"kind": "PersistentVolumeClaim"}}, false, true},
		"VolumeKept":   {"it is desired", facts.KeyVolume, &unstructured.Unstructured{Object: map[string]any{"kind": "PersistentVolumeClaim"}}, true, false},
		"AtWork":       {"a run would be lost", facts.KeyJob + "r", job("Suspended"), false, true},
		"Ended":        {"a Job that has ended may go", facts.KeyJob + "r", job("Complete"), false, false},
		"Verification": {"a verification would be lost", facts.KeyVerifyJob + "v", job("Suspended"), false, true},
		"Copy":         {"a copy of a Secret may go", facts.KeySecretCopy + "r/s", &unstructured.Unstructured{Object: map[string]any{"kind": "Secret"}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Desired{Resources: map[string]runtime.Object{}}
			if tc.kept {
				d.Resources[tc.key] = nil
			}
			o := Observed{Composed: map[string]*unstructured.Unstructured{tc.key: tc.object}}
			f := &facts.Facts{Jobs: jobsOf(o.Composed)}
			assert.Equal(t, tc.want, guard(o, f, d, nil) != nil, tc.reason)
			assert.Equal(t, tc.want, guard(o, f, d, dropped("other")) != nil, "only a Job that was ended for a run may go")
			assert.Equal(t, tc.want && tc.key == facts.KeyVolume, guard(o, f, d, dropped("j")) != nil, "it may go for a run that is due")
		})
	}
}
