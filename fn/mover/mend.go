package mover

import (
	"context"

	"threescale.dev/backup/fn/archive"
)

// mend repairs what earlier runs have in common with one that was just proven.
// Whatever comes of it, that run is on the volume: what fails is a warning.
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
		p.warnf("%d stored files of earlier runs were damaged and are what was written again", result.Files)
	}
}
