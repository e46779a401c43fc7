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
	"threescale.dev/backup/fn/api/v1alpha1"
)

// requestTimeout bounds each call, so that an API server that does not answer cannot hold a finished run.
const requestTimeout = 15 * time.Second

// fieldManager owns what the mover writes.
const fieldManager = "threescale-backup-mover"

// Client patches the few objects of one namespace that a pod may patch.
type Client struct {
	rest      rest.Interface
	namespace string
}

// NewClient returns a client that acts as the ServiceAccount of the pod that it runs in.
func NewClient(namespace string) (*Client, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("cannot reach the API server: %w", err)
	}
	return newClient(config, namespace)
}

// newClient makes a client that knows no type but the API server's own answers: a typed one would have each pod
// register every type there is before it begins (10 of its 60 ms when nothing changed).
func newClient(config *rest.Config, namespace string) (*Client, error) {
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
	return &Client{rest: client, namespace: namespace}, nil
}

// patch changes one object. An error never tells what was written.
func (c *Client) patch(ctx context.Context, kind types.PatchType, resource, name string, patch any) error {
	body, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("cannot encode a patch of %s %q: %w", resource, name, err)
	}
	err = c.rest.Patch(kind).Namespace(c.namespace).Resource(resource).Name(name).
		Param("fieldManager", fieldManager).Body(body).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("cannot patch %s %q: %w", resource, name, err)
	}
	return nil
}

// Reporter returns a Reporter that writes into the ConfigMap of that name.
func (c *Client) Reporter(name string) Reporter { return &configMapReporter{c, name} }

// configMapReporter writes into the one ConfigMap that the pod may patch.
type configMapReporter struct {
	client *Client
	name   string
}

// Report implements Reporter.
func (r *configMapReporter) Report(ctx context.Context, key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("cannot encode the %s: %w", key, err)
	}
	patch := map[string]any{"data": map[string]string{key: string(text)}}
	return r.client.patch(ctx, types.MergePatchType, "configmaps", r.name, patch)
}

// Readers implements Readers: whoever composed the report wrote it there.
func (r *configMapReporter) Readers(ctx context.Context) (string, error) {
	report, err := r.read(ctx)
	return report.Metadata.Annotations[v1alpha1.AnnotationReaders], err
}

// Begun implements Notes.
func (r *configMapReporter) Begun(ctx context.Context, run string) (bool, error) {
	report, err := r.read(ctx)
	return job.HasBegun(report.Data, run), err
}

// configMap is what is read of one.
type configMap struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Data     map[string]string `json:"data"`
}

func (r *configMapReporter) read(ctx context.Context) (report configMap, err error) {
	body, err := r.client.rest.Get().Namespace(r.client.namespace).Resource("configmaps").Name(r.name).Do(ctx).Raw()
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	if err != nil {
		return configMap{}, fmt.Errorf("cannot read configmaps %q: %w", r.name, err)
	}
	return report, nil
}

// Handover returns a Handover that writes into the Secrets of those names.
func (c *Client) Handover(names []string) Handover { return &secretHandover{c, names} }

// secretHandover writes into Secrets that were made empty for it.
type secretHandover struct {
	client *Client
	names  []string
}

// Parts implements Handover.
func (h *secretHandover) Parts() int { return len(h.names) }

// Put implements Handover. It replaces all data of the Secret, also what an earlier try of another run left in it.
func (h *secretHandover) Put(ctx context.Context, part int, data map[string][]byte) error {
	patch := []map[string]any{{"op": "add", "path": "/data", "value": data}}
	return h.client.patch(ctx, types.JSONPatchType, "secrets", h.names[part], patch)
}
