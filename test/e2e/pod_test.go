//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/api/v1alpha1"
)

// The Jobs of a tenant and their pods.

// jobs lists the Jobs of the namespace.
func (w *tenant) jobs(ctx context.Context) ([]batchv1.Job, error) {
	var list batchv1.JobList
	err := shared.Client().List(ctx, &list, client.InNamespace(w.namespace))
	return list.Items, err
}

// pods lists the pods of the namespace, oldest first.
func (w *tenant) pods(ctx context.Context) ([]corev1.Pod, error) {
	var list corev1.PodList
	err := shared.Client().List(ctx, &list, client.InNamespace(w.namespace))
	return list.Items, err
}

// untilJob waits for the namespace's only Job to pass a check.
func (w *tenant) untilJob(what string, check func(*batchv1.Job) bool) *batchv1.Job {
	w.t.Helper()
	var found *batchv1.Job
	w.eventually(what, func(ctx context.Context) error {
		jobs, err := w.jobs(ctx)
		if err != nil {
			return err
		}
		for i := range jobs {
			if check(&jobs[i]) {
				found = &jobs[i]
				return nil
			}
		}
		return fmt.Errorf("there are %d Jobs, none of them so", len(jobs))
	})
	return found
}

// jobFailedAfter tells of a Job that failed for good with so many pods.
func jobFailedAfter(pods int32) func(*batchv1.Job) bool {
	return func(j *batchv1.Job) bool {
		return j.Status.Failed == pods && slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
			return c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue
		})
	}
}

// notOf selects objects that have a label, with none of the values.
func notOf(label string, values []string) labels.Selector {
	selector := labels.NewSelector()
	has, err := labels.NewRequirement(label, selection.Exists, nil)
	if err == nil {
		selector = selector.Add(*has)
	}
	if len(values) == 0 {
		return selector
	}
	other, err := labels.NewRequirement(label, selection.NotIn, values)
	if err == nil {
		selector = selector.Add(*other)
	}
	return selector
}

// untilTerminated waits for a container of the mover that ended with an exit code.
func (w *tenant) untilTerminated(code int32) *corev1.ContainerStateTerminated {
	w.t.Helper()
	var found *corev1.ContainerStateTerminated
	w.eventually(fmt.Sprintf("a container to end with %d", code), func(ctx context.Context) error {
		pods, err := w.pods(ctx)
		if err != nil {
			return err
		}
		var seen []int32
		for _, pod := range pods {
			for _, container := range pod.Status.ContainerStatuses {
				if ended := container.State.Terminated; ended != nil {
					if found = ended; ended.ExitCode == code {
						return nil
					}
					seen = append(seen, ended.ExitCode)
				}
			}
		}
		return fmt.Errorf("%d pods ended with %v", len(pods), seen)
	})
	return found
}

// mover returns the process ID of the mover at work in the namespace.
func (w *tenant) mover() (int, error) {
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range processes {
		args, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(args, []byte("\x00--namespace="+w.namespace+"\x00")) || !bytes.HasPrefix(args, []byte(job.MoverPath+"\x00"+job.BackupCommand+"\x00")) {
			continue
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(path)))
	}
	return 0, errors.New("no mover is at work")
}

// killMover ends the mover as the kernel does when memory runs out, and waits
// until it is gone.
func (w *tenant) killMover() {
	w.t.Helper()
	pid, err := w.mover()
	require.NoError(w.t, err)
	require.NoError(w.t, syscall.Kill(pid, syscall.SIGKILL))
	w.eventually("the mover to end", func(context.Context) error {
		if now, err := w.mover(); err == nil && now == pid {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}

// times are when a run's Job was seen first, and when it was seen complete.
type times struct{ made, complete time.Time }

// watchJob returns the times of the namespace's first Job that completes.
// Crossplane deletes it soon after.
func (w *tenant) watchJob() <-chan times {
	w.t.Helper()
	watcher, err := client.NewWithWatch(w.c.Config(), client.Options{})
	require.NoError(w.t, err)
	jobs, err := watcher.Watch(w.t.Context(), &batchv1.JobList{}, client.InNamespace(w.namespace))
	require.NoError(w.t, err)
	done := make(chan times, 1)
	go func() {
		defer jobs.Stop()
		defer close(done)
		var seen times
		for event := range jobs.ResultChan() {
			j, ok := event.Object.(*batchv1.Job)
			if !ok {
				return
			}
			if seen.made.IsZero() {
				seen.made = time.Now()
			}
			if j.Status.CompletionTime != nil {
				seen.complete = time.Now()
				done <- seen
				return
			}
		}
	}()
	return done
}

// leftovers are the names of all objects that carry a label of ours.
func (w *tenant) leftovers() string {
	w.t.Helper()
	return w.admin("get", "secrets,configmaps,jobs,pods,serviceaccounts,roles,rolebindings,persistentvolumeclaims",
		"-l", v1alpha1.LabelBackup, "-o", "name", "--sort-by=.metadata.name")
}
