package controller

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/fn/restore"
)

// askFlux has source-controller look at the repository now instead of at its next interval.
func (w *work) askFlux(ctx context.Context) error {
	repository := w.state.Repository.DeepCopy()
	body := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, restore.FluxRequest(w.Now()))
	err := w.Patch(ctx, repository, client.RawPatch(types.MergePatchType, []byte(body)), client.FieldOwner(ControllerName))
	if err != nil {
		return fmt.Errorf("cannot ask Flux to look at GitRepository %q: %w", repository.Name, err)
	}
	return nil
}
