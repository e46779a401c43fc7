package main

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"threescale.dev/backup/fn/compose"
	"threescale.dev/backup/fn/simulate"
	"threescale.dev/backup/fn/threescale"
)

const requestTimeout = 30 * time.Second

// lookup returns what reads the objects of a namespace, and the namespace: the
// given one, else that of the context.
func lookup(kubeconfig, kubeContext, namespace string) (simulate.Lookup, string, error) {
	loaded := clusterConfig(kubeconfig, kubeContext)
	config, err := loaded.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("cannot reach a cluster (use --kubeconfig, or --objects to read manifests): %w", err)
	}
	config.Timeout = requestTimeout
	if namespace == "" {
		if namespace, _, err = loaded.Namespace(); err != nil {
			return nil, "", fmt.Errorf("cannot read the namespace of the context: %w", err)
		}
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, "", fmt.Errorf("cannot reach the cluster: %w", err)
	}
	return func(ctx context.Context, s compose.Selector) ([]*unstructured.Unstructured, error) {
		resource, ok := resources()[s.Kind]
		if !ok || s.Namespace == "" {
			return nil, nil // the world has its own Namespace; nothing else of the cluster matters here
		}
		return read(ctx, client.Resource(resource).Namespace(s.Namespace), s)
	}, namespace, nil
}

// clusterConfig is how the user's own tools reach a cluster.
func clusterConfig(kubeconfig, kubeContext string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext})
}

// resources are the kinds of an installation. They are known, so that no
// discovery is needed.
func resources() map[string]schema.GroupVersionResource {
	return map[string]schema.GroupVersionResource{
		"Secret":                  {Version: "v1", Resource: "secrets"},
		"ConfigMap":               {Version: "v1", Resource: "configmaps"},
		"PersistentVolumeClaim":   {Version: "v1", Resource: "persistentvolumeclaims"},
		threescale.APIManagerKind: threescale.APIManagerGVK().GroupVersion().WithResource("apimanagers"),
	}
}

func read(ctx context.Context, client dynamic.ResourceInterface, s compose.Selector) ([]*unstructured.Unstructured, error) {
	if s.Name != "" {
		object, err := client.Get(ctx, s.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s %q: %w", s.Kind, s.Name, err)
		}
		return []*unstructured.Unstructured{object}, nil
	}
	list, err := client.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil // the kind does not exist, so there are none
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list %s in namespace %q: %w", s.Kind, s.Namespace, err)
	}
	out := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out, nil
}
