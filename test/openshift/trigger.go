package openshift

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// trigger writes the images that a DeploymentConfig's triggers name into its pod
// template, as OpenShift does when an ImageStream's tag is known
// (openshift-controller-manager, pkg/image/controller/trigger and
// pkg/image/trigger/deploymentconfigs). It reports whether all are known.
func (o *OpenShift) trigger(ctx context.Context, dc *unstructured.Unstructured) (bool, error) {
	triggers, _, _ := unstructured.NestedSlice(dc.Object, "spec", "triggers")
	before := dc.DeepCopy()
	for _, entry := range triggers {
		trigger, _ := entry.(map[string]any)
		params, ok := trigger["imageChangeParams"].(map[string]any)
		if !ok {
			continue
		}
		tag, _, _ := unstructured.NestedString(params, "from", "name")
		image, err := o.image(ctx, dc.GetNamespace(), tag)
		if err != nil || image == "" {
			return false, err
		}
		containers, _, _ := unstructured.NestedStringSlice(params, "containerNames")
		if err := setImages(dc, containers, image); err != nil {
			return false, err
		}
	}
	if equality.Semantic.DeepEqual(before, dc) {
		return true, nil
	}
	if err := o.client.Update(ctx, dc); err != nil {
		return false, fmt.Errorf("cannot write images of DeploymentConfig %q: %w", dc.GetName(), err)
	}
	return true, nil
}

// image follows an ImageStreamTag to the image that it names; "" while there is
// none. OpenShift would import the image and name it by its digest.
func (o *OpenShift) image(ctx context.Context, namespace, name string) (string, error) {
	streamName, tagName, _ := strings.Cut(name, ":")
	stream := newObject(imageStreamKind())
	if err := o.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: streamName}, stream); err != nil {
		return "", client.IgnoreNotFound(err)
	}
	tags, _, _ := unstructured.NestedSlice(stream.Object, "spec", "tags")
	for _, entry := range tags {
		if tag, ok := entry.(map[string]any); ok && tag["name"] == tagName {
			image, _, _ := unstructured.NestedString(tag, "from", "name")
			return image, nil
		}
	}
	return "", nil
}

// setImages sets the image of the named containers of the template.
func setImages(dc *unstructured.Unstructured, names []string, image string) error {
	for _, field := range []string{"initContainers", "containers"} {
		containers, found, err := unstructured.NestedSlice(dc.Object, "spec", "template", "spec", field)
		if err != nil {
			return fmt.Errorf("cannot read containers of DeploymentConfig %q: %w", dc.GetName(), err)
		}
		if !found {
			continue
		}
		for _, entry := range containers {
			if container, ok := entry.(map[string]any); ok && slices.Contains(names, fmt.Sprint(container["name"])) {
				container["image"] = image
			}
		}
		if err := unstructured.SetNestedSlice(dc.Object, containers, "spec", "template", "spec", field); err != nil {
			return fmt.Errorf("cannot set images of DeploymentConfig %q: %w", dc.GetName(), err)
		}
	}
	return nil
}
