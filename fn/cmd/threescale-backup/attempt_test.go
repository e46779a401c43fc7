package main

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"threescale.dev/backup/fn/api/job"
)

// TestAttemptStaysTheSame: the digests stand in commits, which a later version has to find.
func TestAttemptStaysTheSame(t *testing.T) {
	cases := map[string]struct {
		command restoreCommand
		tree    madeTree
		want    string // whose SHA-256 it is
	}{
		"Least": {
			restoreCommand{treeFlags: treeFlags{Name: "restored", Namespace: "3scale"}, Path: "."},
			madeTree{inspection: job.Inspection{ManifestSHA256: "00ff"}},
			`{"path":".","name":"restored","namespace":"3scale","manifestSHA256":"00ff"}`,
		},
		"All": {
			restoreCommand{treeFlags: treeFlags{
				Name: "dr", Namespace: "3scale-dr", WildcardDomain: otherDomain, StorageClass: "fast", OmitDatabaseSecrets: true, Recipient: []string{"age1b", "age1a", "age1b"},
			}, Path: "./apps/3scale/"},
			madeTree{inspection: job.Inspection{ManifestSHA256: "00ff"}},
			`{"path":"apps/3scale","name":"dr","namespace":"3scale-dr","wildcardDomain":"apps.other.example","storageClass":"fast","omitDatabaseSecrets":true,"recipients":["age1a","age1b"],"manifestSHA256":"00ff"}`,
		},
		"WithoutManifest": {
			restoreCommand{treeFlags: treeFlags{Name: "restored", Namespace: "3scale"}, Path: "."},
			madeTree{objects: "00ff"},
			`{"path":".","name":"restored","namespace":"3scale","objects":"00ff"}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.command.attempt(&tc.tree)
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(tc.want))), got)
		})
	}
}
