package mover

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"threescale.dev/backup/fn/api/job"
)

// requestTimeout bounds each call, so that an API server that does not answer
// cannot hold a finished run.
const requestTimeout = 15 * time.Second

// fieldManager owns what the mover writes into its report.
const fieldManager = "threescale-backup-mover"

// configMapReporter writes into the one ConfigMap that the pod may patch.
type configMapReporter struct {
	client    rest.Interface
	namespace string
	name      string
}

// NewConfigMapReporter returns a Reporter that patches the ConfigMap called
// name, as the ServiceAccount of the pod that it runs in.
func NewConfigMapReporter(namespace, name string) (Reporter, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot reach the API server: %w", err)
	}
	return newConfigMapReporter(config, namespace, name)
}

// newConfigMapReporter makes a client that knows no type but the API server's
// own answers: a typed one would have each pod register every type there is
// before it begins (10 of its 60 ms when nothing changed).
func newConfigMapReporter(config *rest.Config, namespace, name string) (*configMapReporter, error) {
	core := schema.GroupVersion{Version: "v1"}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, core)
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	config.APIPath = "/api"
	config.GroupVersion = &core
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the API server: %w", err)
	}
	return &configMapReporter{client: client, namespace: namespace, name: name}, nil
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
	err = r.client.Patch(types.MergePatchType).Namespace(r.namespace).Resource("configmaps").Name(r.name).
		Param("fieldManager", fieldManager).Body(patch).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("cannot patch ConfigMap %q: %w", r.name, err)
	}
	return nil
}
