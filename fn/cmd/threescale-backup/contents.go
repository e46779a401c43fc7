package main

import (
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// notFileStorage is the file storage in a list of what is not included.
const notFileStorage = "file storage"

// contents is what export and restore print of a tree and its run, in JSON.
type contents struct {
	Run            string     `json:"run"`
	ManifestSHA256 string     `json:"manifestSHA256,omitempty"`
	Verified       bool       `json:"verified"` // false for what APIManagerBackup wrote: it has no digests
	Source         job.Source `json:"source"`
	Namespace      string     `json:"namespace"`            // that the objects are for
	Objects        []string   `json:"objects"`              // such as Secret/system-app
	Recipients     []string   `json:"recipients,omitempty"` // for whom they are encrypted
	Encrypted      []string   `json:"encrypted"`            // the objects that are encrypted
	Omitted        []string   `json:"omitted"`              // Secrets that were left out on request
	Rewritten      []string   `json:"rewritten"`            // fields where the domain was replaced
	LeftWithDomain []string   `json:"leftWithDomain"`       // other fields that hold the old domain
	Dropped        []string   `json:"dropped"`              // fields that named a PersistentVolume, and were left out
	// Databases that the run holds, and that this command does not load.
	Databases   []recorded.Dump `json:"databases,omitempty"`
	NotIncluded []string        `json:"notIncluded"` // what else belongs to the installation
	Warnings    []string        `json:"warnings"`
}

func contentsOf(tree *madeTree, recipients []string) contents {
	i := tree.inspection
	described := contents{
		Run: i.Run, ManifestSHA256: i.ManifestSHA256, Verified: i.Verified, Source: i.Source, Namespace: tree.Namespace, Recipients: recipients,
		Encrypted: []string{}, Omitted: texts(tree.Omitted), Rewritten: texts(tree.Rewritten), LeftWithDomain: texts(tree.LeftWithDomain), Dropped: texts(tree.Dropped),
		Databases: tree.dumps, NotIncluded: threescale.NotIncluded(heldBy(tree.dumps)...), Warnings: append([]string{}, i.Warnings...),
	}
	for key := range tree.Objects {
		described.Objects = append(described.Objects, key.String())
		if threescale.IsSensitive(key.Kind, key.Name) {
			described.Encrypted = append(described.Encrypted, key.String())
		}
	}
	slices.Sort(described.Objects)
	slices.Sort(described.Encrypted)
	return described
}

// texts returns the names of things; the list is never null in JSON.
func texts[T fmt.Stringer](things []T) []string {
	out := make([]string, 0, len(things))
	for _, thing := range things {
		out = append(out, thing.String())
	}
	return out
}

// printNotes prints what differs from the backup, and what is not in the tree.
func (d *contents) printNotes(c *console) {
	c.sayEach("domain replaced: %s", d.Rewritten)
	c.sayEach("domain left as it was: %s", d.LeftWithDomain)
	c.sayEach("left out, since it names a PersistentVolume: %s", d.Dropped)
	c.sayEach("left out, as asked: %s", d.Omitted)
	for _, dump := range d.Databases {
		c.sayf("not loaded yet, database %s (threescale-backup load)", dumpText(dump))
	}
	c.sayEach("warning: %s", d.Warnings)
	c.sayf("not included: %s (see \"What a backup does not hold\" in examples/README.md)", strings.Join(d.NotIncluded, ", "))
}
