package restore

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// WritersAnnotation lets restores of other namespaces write to a GitRepository. Its owner sets it to
// <namespace>=<path>[,<namespace>=<path>...].
const WritersAnnotation = v1alpha1.Group + "/writers"

// defaultBranch is what Flux checks out if a GitRepository names no reference.
const defaultBranch = "master"

// BranchOf returns the branch that a restore starts from: the one that the restore names, else the one
// that the GitRepository follows.
func BranchOf(r *v1alpha1.ThreeScaleRestore, repository *sourcev1.GitRepository) string {
	if r.Spec.Git.Checkout != nil {
		return r.Spec.Git.Checkout.Reference.Branch
	}
	return sourceBranch(repository)
}

// sourceBranch returns the branch that Flux follows; "" if it follows something that a push does not
// move.
func sourceBranch(repository *sourcev1.GitRepository) string {
	ref := repository.Spec.Reference
	switch {
	case ref == nil:
		return defaultBranch
	case ref.Commit != "", ref.Tag != "", ref.SemVer != "":
		return ""
	case ref.Name != "":
		if branch, ok := strings.CutPrefix(ref.Name, "refs/heads/"); ok {
			return branch
		}
		return ""
	}
	return cmp.Or(ref.Branch, defaultBranch)
}

// baseFolder and overlayFolder are the folders that a restore writes, relative to the root of the
// repository.
func baseFolder(r *v1alpha1.ThreeScaleRestore) string { return path.Join(Root(r), "base", r.Name) }
func overlayFolder(r *v1alpha1.ThreeScaleRestore) string {
	return path.Join(Root(r), "overlays", r.Name)
}

// Root is the folder that both lie in; "." is the root of the repository.
func Root(r *v1alpha1.ThreeScaleRestore) string { return cleanPath(r.Spec.Path) }

// cleanPath makes a path relative to the root of the repository, which is ".".
func cleanPath(p string) string {
	return path.Clean(strings.TrimLeft(path.Clean("/"+p), "/"))
}

// foreignPushOptions are the push options that are allowed for another namespace's repository. They
// open a merge request, and do not merge it.
var foreignPushOptions = []string{"merge_request.create", "merge_request.title", "merge_request.description", "merge_request.draft", "merge_request.label", "merge_request.target"}

// checkForeignBranches restricts a push with another namespace's login to the branch that Flux
// follows, and to branches of the restore's own. Otherwise the login could bring others' commits from
// one branch to another, whatever the path.
func checkForeignBranches(o *State) *Problem {
	r, followed, name := o.Restore, sourceBranch(o.Repository), repositoryName(o.Restore)
	if BranchOf(r, o.Repository) != followed {
		return Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: spec.git.checkout may only name the branch that it follows, %q", name, followed)
	}
	push := r.Spec.Git.Push
	if push == nil {
		return nil
	}
	own := "threescale-restore/" + r.Namespace + "/"
	switch {
	case push.Refspec != "":
		return Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: spec.git.push.refspec is not allowed; set spec.git.push.branch instead", name)
	case push.Branch != "" && push.Branch != followed && !strings.HasPrefix(push.Branch, own):
		return Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: spec.git.push.branch must begin with %q", name, own)
	}
	for _, option := range slices.Sorted(maps.Keys(push.Options)) { // or the condition's message would change from look to look
		if !slices.Contains(foreignPushOptions, option) || option == "merge_request.target" && push.Options[option] != followed {
			return Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: the push option %q is not allowed; allowed are: %s (to %q)", name, option, strings.Join(foreignPushOptions, ", "), followed)
		}
	}
	return nil
}

// below reports whether the clean slash path p is dir or lies below it.
func below(p, dir string) bool {
	return dir == "." || dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// checkRepository returns why a commit to the repository is not allowed, or would not reach what Flux
// applies; nil if neither.
func checkRepository(o *State) *Problem {
	r, repository := o.Restore, o.Repository
	name := repositoryName(r)
	if p := checkWriter(o); p != nil {
		return p
	}
	if repository == nil {
		return Failing(v1alpha1.ReasonRepositoryNotFound, "GitRepository %q does not exist; create it, or correct spec.sourceRef", name)
	}
	switch {
	case sourceBranch(repository) == "":
		return Stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q follows a tag, a commit or another fixed reference, so that Flux would not see a commit; name one whose spec.ref is a branch", name)
	case repository.Spec.Verification != nil && repository.Spec.Verification.VerifyHEAD() && r.Spec.Git.Commit.SigningKey == nil:
		return Stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q accepts signed commits only; set spec.git.commit.signingKey to a key that its spec.verify.secretRef knows", name)
	case !inSparseCheckout(r, repository):
		return Stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q checks out only some folders (spec.sparseCheckout), and not %q; add it there, or change spec.path", name, Root(r))
	case repository.Spec.Suspend:
		return Failing(v1alpha1.ReasonRepositorySuspended, "GitRepository %q is suspended; resume it: flux resume source git %s -n %s", name, repository.Name, repository.Namespace)
	}
	return nil
}

func repositoryName(r *v1alpha1.ThreeScaleRestore) string {
	return qualified(r, r.Spec.SourceRef.NamespacedReference)
}

func qualified(r *v1alpha1.ThreeScaleRestore, ref v1alpha1.NamespacedReference) string {
	return NamespaceOf(r, ref) + "/" + ref.Name
}

// NamespaceOf returns the namespace of the object that ref names.
func NamespaceOf(r *v1alpha1.ThreeScaleRestore, ref v1alpha1.NamespacedReference) string {
	return cmp.Or(ref.Namespace, r.Namespace)
}

// crossesNamespace reports whether ref names an object of another namespace.
func crossesNamespace(r *v1alpha1.ThreeScaleRestore, ref v1alpha1.NamespacedReference) bool {
	return NamespaceOf(r, ref) != r.Namespace
}

// checkWriter keeps a restore out of repositories whose owner has not admitted its namespace: a
// GitRepository lends its login to whoever may name it. The problem is the same for one that does not
// exist, or anybody could find out which exist.
func checkWriter(o *State) *Problem {
	r := o.Restore
	if !crossesNamespace(r, r.Spec.SourceRef.NamespacedReference) {
		return nil
	}
	name := repositoryName(r)
	if o.NoCrossNamespaceRefs {
		return Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace, and the controller runs with --no-cross-namespace-refs; name one of namespace %q", name, r.Namespace)
	}
	if o.Repository != nil && slices.ContainsFunc(writerFolders(o.Repository.Annotations[WritersAnnotation], r.Namespace), func(folder string) bool { return below(Root(r), folder) }) {
		return checkForeignBranches(o)
	}
	folder := "./" + strings.TrimPrefix(Root(r), ".")
	return Stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q does not exist, or does not let namespace %q write to %q; its owner can, by an entry %s=%s in its annotation %s (entries are separated by commas)",
		name, r.Namespace, folder, r.Namespace, folder, WritersAnnotation)
}

// writerFolders returns the folders that the annotation gives to a namespace. An entry that does not
// parse gives none.
func writerFolders(annotation, namespace string) []string {
	var folders []string
	for entry := range strings.SplitSeq(annotation, ",") {
		who, folder, ok := strings.Cut(strings.TrimSpace(entry), "=")
		if !ok || who != namespace || folder == "" || slices.Contains(strings.Split(folder, "/"), "..") {
			continue
		}
		folders = append(folders, cleanPath(folder))
	}
	return folders
}

func inSparseCheckout(r *v1alpha1.ThreeScaleRestore, repository *sourcev1.GitRepository) bool {
	if len(repository.Spec.SparseCheckout) == 0 {
		return true
	}
	covered := func(folder string) bool {
		return slices.ContainsFunc(repository.Spec.SparseCheckout, func(dir string) bool { return below(folder, cleanPath(dir)) })
	}
	return covered(baseFolder(r)) && covered(overlayFolder(r))
}
