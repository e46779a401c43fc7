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

// lookup returns a function that reads the objects of a namespace from the cluster. The
// namespace is the given one, else that of the kubeconfig's context.
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
			return nil, nil // the backup needs no other object: the simulated world makes the Namespace
		}
		return read(ctx, client.Resource(resource).Namespace(s.Namespace), s)
	}, namespace, nil
}

// clusterConfig reads the kubeconfig as kubectl does.
func clusterConfig(kubeconfig, kubeContext string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext})
}

// resources are those of an installation, by kind. Listed here, they need no discovery.
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
