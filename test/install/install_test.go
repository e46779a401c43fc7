//go:build e2e

package install

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestDocuments is the whole way: install, back up, restore, upgrade, uninstall.
func TestDocuments(t *testing.T) {
	s := newSite(t)
	r := newReader(t, s.environment()...)
	s.publish(r)
	start := time.Now()
	r.follow("manifests/README.md", "Install", s.choices()...)
	t.Logf("installed after %s", time.Since(start))
	s.makeInstallation()
	r.follow("examples/README.md", "Back up")
	t.Logf("first backup verified after %s", time.Since(start))
	assertExplained(t, r)
	r.follow("examples/README.md", "Back up again")
	s.useCapabilities()
	r.follow("examples/README.md", "Capability custom resources")
	assert.Contains(t, r.shell("cat capabilities.json"), `"name": "a-backend"`)

	r.follow("fn/archive/README.md", "Look into a backup", "/mnt/nightly-backup ", s.folderOf("nightly-backup")+" ")
	r.follow("examples/restore/README.md", "Disaster recovery")

	kept := s.remember()
	s.lose(kept)
	s.operate()
	r.follow("examples/restore/README.md", "Restore a lost installation", s.choices()...)
	s.assertRestored(kept)
	s.assertCommits(3, "the first, that of .sops.yaml, that of the restore")
	r.follow("examples/restore/README.md", "Restore without a cluster")
	s.assertFiles(kept, strings.TrimSpace(r.shell("realpath restored")))
	s.lendRepository()
	r.follow("examples/restore/README.md", "Cross-namespace repositories")
	r.follow("manifests/monitoring/README.md", "Install the monitoring")
	r.shell("kubectl delete clusterrolebinding threescale-backup-kube-state-metrics")

	s.restoreWhileTheLeaderDies(r, kept)
	s.assertCommits(4, "asked by force it commits again, once")

	s.upgradeWhileARunGoes(r)
	r.follow("manifests/README.md", "OpenShift")
	r.shell("kubectl wait function.pkg.crossplane.io --all --for=condition=Healthy --timeout=3m")
	s.refuseTheOtherFlavour(r)

	r.follow("manifests/README.md", "Uninstall")
	s.assertNothingStays()
	s.installWithoutRights(r)

	s.loseCluster(r)
	r.follow("manifests/README.md", "Install", append(s.choices(), "VERSION=v0.1.0", "VERSION=v0.1.1")...)
	r.follow("examples/restore/README.md", "Recover a lost cluster", s.choices()...)
	s.assertRestored(kept)
	s.assertCommits(5, "that of the new cluster")
	s.assertRuns(r, 6, "dr-2-source", "those of the lost cluster, and one more")

	o := s.openBucket()
	s.copyOffsite(r, o)
	s.throwAway(r, o)
	r.follow("manifests/README.md", "Install", s.choices()...)
	r.follow("examples/restore/README.md", "Recover from a bucket", slices.Concat(s.choices(), o.choices())...)
	s.assertRestored(kept)
	s.assertCommits(6, "that of the third cluster")
}

// ofCrossplane are the fields that Crossplane adds to a claim, without a word.
var ofCrossplane = []string{
	"compositeDeletePolicy", "compositionRef", "compositionRevisionRef", "compositionRevisionSelector", "compositionSelector",
	"compositionUpdatePolicy", "resourceRef", "writeConnectionSecretToRef", "claimConditionTypes", "connectionDetails",
}

var undescribed = regexp.MustCompile(`(?m)^  (\w+)\t<.*\n(?:  enum: .*\n)?    <no description>`)

// assertExplained: `kubectl explain` has words for every field of ours.
func assertExplained(t *testing.T, r *reader) {
	t.Helper()
	for _, field := range []string{
		"threescalebackup.spec", "threescalebackup.spec.backupDestination.persistentVolumeClaim", "threescalebackup.status", "threescalebackup.status.lastRun",
		"threescalerestore.spec", "threescalerestore.spec.restoreSource", "threescalerestore.status", "threescalerestore.status.plan",
	} {
		text := r.shell("kubectl explain " + field)
		assert.Contains(t, text, "FIELDS:")
		assert.NotContains(t, text, "<empty>", field)
		found := undescribed.FindAllStringSubmatch(text, -1)
		assert.Len(t, found, strings.Count(text, "<no description>"), field)
		for _, name := range found {
			assert.Contains(t, ofCrossplane, name[1], field)
		}
	}
}
