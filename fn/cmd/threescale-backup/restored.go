package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"threescale.dev/backup/fn/api/job"
	"threescale.dev/backup/fn/threescale"
)

// restored is the answer in JSON.
type restored struct {
	contents

	Commit      string            `json:"commit"`
	Branch      string            `json:"branch"`
	Committed   bool              `json:"committed"` // false: the commit was there already
	WorkTree    bool              `json:"workTree"`  // a work tree shows the new commit
	Path        string            `json:"path"`      // of the overlay, for spec.path of a Flux Kustomization
	FileStorage *job.RefillResult `json:"fileStorage,omitempty"`
}

// tell prints the outcome of a restore.
func (r *restoreCommand) tell(c *console, tree *madeTree, answer *restored) error {
	answer.Warnings = append(answer.Warnings, r.warnings(tree, answer)...)
	if answer.FileStorage == nil {
		answer.NotIncluded = append(answer.NotIncluded, notFileStorage)
	}
	if c.json {
		return c.encode(answer)
	}
	from := answer.Source
	c.sayf("Run %s of APIManager %s in namespace %s%s", answer.Run, from.APIManager, from.Namespace, verifiedText(answer.Verified))
	r.tellCommit(c, answer)
	if files := answer.FileStorage; files != nil {
		c.sayf("%s", storageText(r.FileStorage.String(), files))
	}
	answer.printNotes(c)
	r.tellNext(c, tree, answer)
	return nil
}

// warnings returns those of the file storage.
func (r *restoreCommand) warnings(tree *madeTree, answer *restored) []string {
	switch {
	case answer.FileStorage != nil:
		return answer.FileStorage.Warnings
	case r.FileStorage != (place{}):
		return []string{"the run was made without the file storage: nothing was written to " + r.FileStorage.String()}
	case tree.inspection.FileStorage.Stored:
		return []string{"the file storage was not restored: name a directory or a bucket for it by --file-storage"}
	}
	return nil
}

func verifiedText(verified bool) string {
	if verified {
		return ": every digest is right"
	}
	return ", without digests to verify it by"
}

func (r *restoreCommand) tellCommit(c *console, answer *restored) {
	const short = 12
	switch {
	case !answer.Committed:
		c.sayf("Branch %s of %s has this restore already, as commit %.*s: none was made (--force makes one)", answer.Branch, r.Repository, short, answer.Commit)
	case answer.WorkTree:
		c.sayf("Commit %.*s is on branch %s of %s, and in its work tree", short, answer.Commit, answer.Branch, r.Repository)
	default:
		c.sayf("Commit %.*s is on branch %s of %s", short, answer.Commit, answer.Branch, r.Repository)
	}
	encrypted := ""
	if len(answer.Recipients) > 0 {
		encrypted = " for " + strings.Join(answer.Recipients, ", ")
	}
	c.sayf("It holds %d objects for namespace %s, of which %d (Secrets, and ConfigMap %s if there is one) are encrypted%s",
		len(answer.Objects), answer.Namespace, len(answer.Encrypted), threescale.SystemConfig, encrypted)
}

func storageText(place string, files *job.RefillResult) string {
	if files.Skipped {
		return fmt.Sprintf("File storage %s was not empty and is left as it was, as asked", place)
	}
	text := fmt.Sprintf("File storage %s holds all %d files of the run, %s, of which %d were written", place, files.Files, size(files.Bytes), files.WrittenFiles)
	if files.Removed > 0 {
		text += fmt.Sprintf(", and %d other entries were removed", files.Removed)
	}
	return text
}

// nextOfFiles says how the files come to where the installation looks for them.
func (r *restoreCommand) nextOfFiles(tree *madeTree) string {
	const secret = "the Secret of spec.system.fileStorage.simpleStorageService"
	inS3 := slices.ContainsFunc(tree.Sorted(), threescale.UsesS3)
	switch {
	case inS3 && r.FileStorage.bucket != "":
		return fmt.Sprintf("See that %s leads to %s.", secret, r.FileStorage)
	case inS3:
		return fmt.Sprintf("Bring %s into the bucket that %s leads to.", r.FileStorage, secret)
	}
	return fmt.Sprintf("Bring %s onto the volume of PersistentVolumeClaim %s in namespace %s, unless it is that volume.", r.FileStorage, threescale.FileStoragePVCName, tree.Namespace)
}

// tellNext prints what the user has to do next.
func (r *restoreCommand) tellNext(c *console, tree *madeTree, answer *restored) {
	reader := "one of the recipients"
	if len(answer.Recipients) == 1 {
		reader = answer.Recipients[0]
	}
	databases := "Restore the databases, and see that the Secrets of this commit lead to them."
	if len(answer.Databases) > 0 {
		var names []string
		for _, dump := range answer.Databases {
			names = append(names, dump.Name)
		}
		databases = fmt.Sprintf("See that the Secrets of this commit lead to the databases, and load those of the run: threescale-backup load --run %s --databases %s --manifest-sha256 %s. Restore the others by their own means.",
			answer.Run, strings.Join(names, ","), cmp.Or(r.ManifestSHA256, "DIGEST"))
	}
	if len(answer.Rewritten) > 0 {
		databases += " Change the domains in System's database (examples/restore/databases): Zync makes Routes for those."
	}
	steps := []string{databases}
	if answer.FileStorage != nil {
		steps = append(steps, r.nextOfFiles(tree))
	}
	steps = append(steps,
		fmt.Sprintf("Push branch %s to where Flux fetches it from.", answer.Branch),
		fmt.Sprintf("Have a Flux Kustomization apply ./%s, with spec.decryption by provider sops and a secretRef that holds the age identity of %s.", answer.Path, reader),
		fmt.Sprintf("Once %[1]s is ready, have Zync make the Routes, for which the operator waits: kubectl -n %[2]s exec deployment/%[1]s -- bash -c 'bundle exec rake zync:resync:domains' (up to 3scale 2.14: oc exec dc/%[1]s).", threescale.Sidekiq, answer.Namespace),
	)
	c.sayf("Next:")
	for i, step := range steps {
		c.sayf("  %d. %s", i+1, step)
	}
}
