package compose

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/compose/internal/text"
)

// Observed is all that a decision is made from.
type Observed struct {
	Composite Composite
	// Now is the time: it decides which slots of a schedule have come, and when to
	// ask again.
	Now time.Time
	// Image of the Job's pod, from the Composition's input.
	Image string
	// Allow is what a spec may ask for, from the Composition's input.
	Allow v1alpha1.Allow
	// InputError: the Composition's input does not decode.
	InputError error
	// Composed are the composed objects that exist, by resource name.
	Composed map[string]*unstructured.Unstructured
	// Required are the objects that were asked for, by the name in
	// Desired.Requirements. A name that is absent was not asked for yet; one
	// with an empty list was not found.
	Required map[string][]*unstructured.Unstructured
	// NoRequired: core hands no objects over, whatever is asked for.
	NoRequired bool
}

// Composite is the XR.
type Composite struct {
	Name      string
	Namespace string
	UID       types.UID
	Created   time.Time
	// ClaimRef is spec.claimRef; nil without a claim.
	ClaimRef *types.NamespacedName
	// ClaimNamespaceLabel is the label crossplane.io/claim-namespace.
	ClaimNamespaceLabel string
	Spec                v1alpha1.ThreeScaleBackupSpec
	// SpecError: the spec does not decode.
	SpecError error
	// Unresponsive: Crossplane drops most watch events of this composite, even those
	// of the composite itself.
	Unresponsive bool
	// Shows are the types of the conditions that the composite has. One that is not told
	// any more stays as it is.
	Shows  []string
	Status v1alpha1.ThreeScaleBackupStatus
}

// Desired is the decision.
type Desired struct {
	Resources    map[string]runtime.Object
	Requirements map[string]Selector
	Status       v1alpha1.ThreeScaleBackupStatus
	// Conditions and Events are for the composite and for its claim.
	Conditions []metav1.Condition
	Events     []Event
	// Ready means that the backup is configured and able to run.
	Ready bool
	// TTL says when to ask again at the latest; 0 means never.
	TTL time.Duration
	// Fatal tells core to change nothing at all.
	Fatal error
}

// Selector asks for the object called Name; without one for all of its kind that
// have the labels.
type Selector struct {
	APIVersion, Kind, Namespace, Name string
	Labels                            map[string]string
}

// Event on the composite and on its claim.
type Event = text.Event
