package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/restore"
)

// The sidekiq pod, and how long its command may take: it only enqueues.
const (
	sidekiqDeployment = "system-sidekiq"
	sidekiqContainer  = "system-sidekiq"
	resyncTimeout     = 2 * time.Minute
)

// resyncCommand has Zync make the routes of all domains again.
var resyncCommand = []string{"bash", "-c", "bundle exec rake zync:resync:domains"}

// resync runs a command in the sidekiq pod.
func (w *work) resync(ctx context.Context) error {
	pod, err := w.sidekiq(ctx)
	if err != nil {
		return err
	}
	if pod == nil {
		return w.unsynced(fmt.Sprintf("No ready pod of Deployment %q in namespace %q yet, which makes the routes again", sidekiqDeployment, w.restore.Namespace))
	}
	ctx, cancel := context.WithTimeout(ctx, resyncTimeout)
	defer cancel()
	if err := w.exec(ctx, pod); err != nil {
		advice := "it needs the Role in manifests/resync"
		var failed exec.ExitError
		if errors.As(err, &failed) {
			advice = fmt.Sprintf("run it by hand to see what it says: kubectl -n %s exec %s -- bash -c %q", pod.Namespace, pod.Name, resyncCommand[2])
		}
		return w.unsynced(fmt.Sprintf("Cannot run %q in pod %q: %v; %s", resyncCommand[2], pod.Name, err, advice))
	}
	w.restore.Status.Resynced = true
	return nil
}

// unsynced tries again until spec.timeout has passed since the first time.
func (w *work) unsynced(message string) *restore.Problem {
	p := &restore.Problem{Reason: v1alpha1.ReasonResyncFailed, Message: message}
	status := &w.restore.Status
	if conditions.GetReason(w.restore, meta.ReadyCondition) != p.Reason || status.WaitingSince == nil || restore.RequestedAgain(w.restore) {
		status.WaitingSince = w.now()
	}
	if w.Now().Sub(status.WaitingSince.Time) >= w.restore.GetTimeout() {
		p.Terminal = true
		p.Message += fmt.Sprintf("; not within %s (spec.timeout): mend it, then ask again: %s", w.restore.GetTimeout(), restore.AskAgain(w.restore))
	}
	return p
}

// sidekiq returns a ready pod of sidekiq; nil if there is none.
func (w *work) sidekiq(ctx context.Context) (*corev1.Pod, error) {
	for _, label := range []string{"deployment", "deploymentConfig"} { // since 3scale 2.15, and before
		var pods corev1.PodList
		err := w.tenant.List(ctx, &pods, client.InNamespace(w.restore.Namespace), client.MatchingLabels{label: sidekiqDeployment})
		if err != nil {
			return nil, fmt.Errorf("cannot list pods: %w", err)
		}
		for i := range pods.Items {
			for _, condition := range pods.Items[i].Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
					return &pods.Items[i], nil
				}
			}
		}
	}
	return nil, nil
}

// exec runs the command; what it prints may hold anything and is not kept.
func (w *work) exec(ctx context.Context, pod *corev1.Pod) error {
	clients, err := kubernetes.NewForConfig(w.config)
	if err != nil {
		return err
	}
	container := sidekiqContainer
	if len(pod.Spec.Containers) == 1 {
		container = pod.Spec.Containers[0].Name
	}
	request := clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: resyncCommand, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := executorFor(w.config, request.URL())
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
}

// executorFor returns what runs the command at a URL, as kubectl does: by SPDY
// where the API server, as that of 1.29, or a proxy before it knows no WebSockets.
func executorFor(config *rest.Config, at *url.URL) (remotecommand.Executor, error) {
	webSocket, err := remotecommand.NewWebSocketExecutor(config, http.MethodGet, at.String())
	if err != nil {
		return nil, err
	}
	spdy, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, at)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(webSocket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
}
