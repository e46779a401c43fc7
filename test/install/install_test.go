//go:build e2e

package install

import (
	"testing"
	"time"
)

// TestREADME is the whole way: install, back up, restore, upgrade, uninstall.
func TestREADME(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s.environment()...)
	s.publish(r)
	start := time.Now()
	r.follow("Install", s.choices()...)
	t.Logf("installed after %s", time.Since(start))
	s.makeInstallation()
	r.follow("Back up")
	t.Logf("first backup verified after %s", time.Since(start))
}
