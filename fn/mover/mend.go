package mover

import (
	"context"

	"threescale.dev/backup/fn/archive"
)

// mend repairs files of earlier runs that the run has too, which was just proven.
// That run is on the volume whatever happens, so a failure is a warning.
func (p *pruner) mend(ctx context.Context, run string) {
	result, err := unlocked(ctx, p.env.LockPatience, p.progress, func() (*archive.MendResult, error) {
		return p.volume.Mend(ctx, archive.MendOptions{Run: run, Holder: p.env.Hostname})
	})
	if err != nil {
		p.warnf("earlier runs were not mended: %v", err)
		return
	}
	for _, warning := range result.Warnings {
		p.warnf("%s", warning)
	}
	if result.Files > 0 {
		p.warnf("%d damaged files of earlier runs were replaced by good copies", result.Files)
	}
}
