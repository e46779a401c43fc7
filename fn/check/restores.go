package check

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"threescale.dev/backup/manifests"
)

const (
	inRestores      = area("Restores")
	applyController = "have Flux apply ./manifests with spec.images as in manifests/README.md (Install)"
)

// restores checks the controller and its kind.
func restores(o Observed) []Finding {
	const checkController = "controller"
	deployment := o.Controller.Deployment
	findings := restoreCRD(o)
	switch {
	case deployment.Err != nil:
		return append(findings, inRestores.unread(checkController, deployment.Err), rights(inRestores, o.Controller, applyController))
	case deployment.Value == nil:
		return append(findings, inRestores.warn(checkController, fmt.Sprintf("the controller is not installed (no Deployment %s in namespace %s): backups work, restores do not", ControllerName, o.Controller.Account.Namespace), applyController))
	}
	if problem := unmet(deployment.Value, "Available"); problem != "" {
		findings = append(findings, inRestores.fail(checkController, fmt.Sprintf("Deployment %s/%s is not available: %s", deployment.Value.GetNamespace(), deployment.Value.GetName(), problem),
			fmt.Sprintf("its log says why: kubectl -n %s logs deployment/%s --all-containers; kubectl -n %s describe pods", deployment.Value.GetNamespace(), deployment.Value.GetName(), deployment.Value.GetNamespace())))
	} else {
		findings = append(findings, inRestores.ok(checkController, "Deployment %s/%s is available", deployment.Value.GetNamespace(), deployment.Value.GetName()))
	}
	return append(findings, images(deployment.Value), rights(inRestores, o.Controller, applyController))
}

// ControllerName is the name of the controller's Deployment and ServiceAccount.
const ControllerName = "threescale-backup"

// restoreCRD checks the kind of restores; only the controller needs it.
func restoreCRD(o Observed) []Finding {
	state, why := Warning, "restores are not installed"
	if o.Controller.Deployment.Value != nil {
		state, why = Failed, "the controller does not start without it"
	}
	findings := []Finding{served(o, inRestores, restoreKind(), state, why)}
	if findings[0].State != OK {
		return findings
	}
	return append(findings, restoreFields(o))
}

func restoreFields(o Observed) Finding {
	if o.RestoreSchema.Err != nil {
		return inRestores.unread("fields", o.RestoreSchema.Err)
	}
	return fields(inRestores, "CustomResourceDefinition threescalerestores.backup.threescale.dev", o.RestoreSchema.Value, manifests.RestoreCRD(), installRestore)
}

// images checks that the controller and the mover that it starts are of one version.
func images(deployment *unstructured.Unstructured) Finding {
	const check = "images"
	controller, mover := controllerImages(deployment)
	const do = "set both to the same version: " + applyController
	switch {
	case mover == "":
		return inRestores.fail(check, "the controller has no MOVER_IMAGE, the image that a restore's Jobs run", do)
	case strings.HasPrefix(mover, placeholder):
		return inRestores.fail(check, fmt.Sprintf("MOVER_IMAGE is the placeholder %s, which nobody can pull", mover), do)
	case byDigest(controller) && byDigest(mover):
		return inRestores.ok(check, "the controller's image and its MOVER_IMAGE are both named by digest: whether they are of one version cannot be seen")
	case byDigest(controller) || byDigest(mover):
		return inRestores.ok(check, "one of the controller's image %s and its MOVER_IMAGE %s is named by digest only: whether they are of one version cannot be seen", controller, mover)
	case tag(controller) != tag(mover):
		return inRestores.warn(check, fmt.Sprintf("the controller's image %s and its MOVER_IMAGE %s are of different versions", controller, mover), do)
	}
	return inRestores.ok(check, "the controller's image and its MOVER_IMAGE have the same tag %q", cmp.Or(tag(controller), "latest"))
}

// byDigest reports whether an image is named by its digest only.
func byDigest(image string) bool { return strings.Contains(image, "@") && tag(image) == "" }

// controllerImages returns the image of the container, and that of the mover, which a
// flag names, or else an environment variable.
func controllerImages(deployment *unstructured.Unstructured) (controller, mover string) {
	for _, container := range containers(deployment) {
		if name, _ := container["name"].(string); name != "controller" {
			continue
		}
		controller, _ = container["image"].(string)
		for _, variable := range objects(container, "env") {
			if variable["name"] == "MOVER_IMAGE" {
				mover, _ = variable["value"].(string)
			}
		}
		args, _ := container["args"].([]any)
		mover = cmp.Or(moverFlag(args), mover)
	}
	return controller, mover
}

// moverFlag returns the value of the flag --mover-image, in the same argument or the
// next one; "" without the flag.
func moverFlag(args []any) string {
	const flag = "--mover-image"
	value := ""
	for i, arg := range args {
		if given, ok := strings.CutPrefix(fmt.Sprint(arg), flag+"="); ok {
			value = given
		}
		if arg == flag && i+1 < len(args) {
			value = fmt.Sprint(args[i+1])
		}
	}
	return value
}
