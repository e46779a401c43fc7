package mover

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"threescale.dev/backup/fn/api/job"
)

// requestTimeout bounds each call, so that an API server that does not answer
// cannot hold a finished run.
const requestTimeout = 15 * time.Second

// configMapReporter writes into the one ConfigMap that the pod may patch.
type configMapReporter struct {
	client corev1.ConfigMapInterface
	name   string
}

// NewConfigMapReporter returns a Reporter that patches the ConfigMap called
// name, as the ServiceAccount of the pod that it runs in.
func NewConfigMapReporter(namespace, name string) (Reporter, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot reach the API server: %w", err)
	}
	config.Timeout = requestTimeout
	client, err := corev1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the API server: %w", err)
	}
	return &configMapReporter{client: client.ConfigMaps(namespace), name: name}, nil
}

// Progress implements Reporter.
func (r *configMapReporter) Progress(ctx context.Context, p job.Progress) error {
	return r.patch(ctx, job.KeyProgress, p)
}

// Result implements Reporter.
func (r *configMapReporter) Result(ctx context.Context, result job.Result) error {
	return r.patch(ctx, job.KeyResult, result)
}

func (r *configMapReporter) patch(ctx context.Context, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot encode the %s: %w", key, err)
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{key: string(text)}})
	if err != nil {
		return fmt.Errorf("cannot encode the %s: %w", key, err)
	}
	_, err = r.client.Patch(ctx, r.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "threescale-backup-mover"})
	if err != nil {
		return fmt.Errorf("cannot patch ConfigMap %q: %w", r.name, err)
	}
	return nil
}
