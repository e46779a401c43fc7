package restore

import (
	"path"
	"slices"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"threescale.dev/backup/fn/api/v1alpha1"
)

// WritersAnnotation is set on a GitRepository by its owner and lets restores of
// other namespaces write: <namespace>=<path>[,<namespace>=<path>...].
const WritersAnnotation = v1alpha1.Group + "/writers"

// defaultBranch is what Flux checks out when a GitRepository names nothing.
const defaultBranch = "master"

// BranchOf returns the branch that a restore starts from: the one that it names,
// else that of the GitRepository.
func BranchOf(r *v1alpha1.ThreeScaleRestore, repository *sourcev1.GitRepository) string {
	if r.Spec.Git.Checkout != nil {
		return r.Spec.Git.Checkout.Reference.Branch
	}
	return sourceBranch(repository)
}

// sourceBranch is the branch that Flux looks at, "" when it looks at something
// that does not move with a push.
func sourceBranch(repository *sourcev1.GitRepository) string {
	ref := repository.Spec.Reference
	switch {
	case ref == nil:
		return defaultBranch
	case ref.Commit != "", ref.Tag != "", ref.SemVer != "":
		return ""
	case ref.Name != "":
		branch, _ := strings.CutPrefix(ref.Name, "refs/heads/")
		if branch == ref.Name {
			return ""
		}
		return branch
	case ref.Branch != "":
		return ref.Branch
	}
	return defaultBranch
}

// baseFolder and overlayFolder are what a restore writes, relative to the root of the repository.
func baseFolder(r *v1alpha1.ThreeScaleRestore) string { return path.Join(Root(r), "base", r.Name) }
func overlayFolder(r *v1alpha1.ThreeScaleRestore) string {
	return path.Join(Root(r), "overlays", r.Name)
}

// Root is the folder that both lie in, "." for the repository's own.
func Root(r *v1alpha1.ThreeScaleRestore) string { return cleanPath(r.Spec.Path) }

// cleanPath makes a path relative to the root of the repository, "." for it.
func cleanPath(p string) string {
	return path.Clean(strings.TrimLeft(path.Clean("/"+p), "/"))
}

// foreignPushOptions are those that a push to another namespace's repository may
// have: they open a request to merge, and decide nothing.
var foreignPushOptions = []string{"merge_request.create", "merge_request.title", "merge_request.description", "merge_request.draft", "merge_request.label", "merge_request.target"}

// checkForeignBranches keeps a restore to the branch that Flux follows, and to
// branches of its own: by any other, the owner's login could be made to bring
// what others wrote to where it does not belong, whatever the path.
func checkForeignBranches(o *State) *Problem {
	r, followed, name := o.Restore, sourceBranch(o.Repository), repositoryName(o.Restore)
	if BranchOf(r, o.Repository) != followed {
		return stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: spec.git.checkout may only name the branch that it follows, %q", name, followed)
	}
	push := r.Spec.Git.Push
	if push == nil {
		return nil
	}
	own := "threescale-restore/" + r.Namespace + "/"
	switch {
	case push.Refspec != "":
		return stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: spec.git.push.refspec is not for it; set spec.git.push.branch", name)
	case push.Branch != "" && push.Branch != followed && !strings.HasPrefix(push.Branch, own):
		return stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: spec.git.push.branch must begin with %q", name, own)
	}
	for option, value := range push.Options {
		if !slices.Contains(foreignPushOptions, option) || option == "merge_request.target" && value != followed {
			return stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace: the push option %q is not for it; these are: %s (to %q)", name, option, strings.Join(foreignPushOptions, ", "), followed)
		}
	}
	return nil
}

// below tells whether the slash path p is dir or lies below it; both are clean.
func below(p, dir string) bool {
	return dir == "." || dir == "" || p == dir || strings.HasPrefix(p, dir+"/")
}

// checkRepository tells why a commit to the repository is not allowed, or would
// never reach what Flux applies.
func checkRepository(o *State) *Problem {
	r, repository := o.Restore, o.Repository
	name := repositoryName(r)
	if p := checkWriter(o); p != nil {
		return p
	}
	if repository == nil {
		return failing(v1alpha1.ReasonRepositoryNotFound, "GitRepository %q does not exist; create it, or correct spec.sourceRef", name)
	}
	switch {
	case sourceBranch(repository) == "":
		return stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q follows a tag, a commit or another fixed reference, so that Flux would not see a commit; name one whose spec.ref is a branch", name)
	case repository.Spec.Verification != nil && repository.Spec.Verification.VerifyHEAD() && r.Spec.Git.Commit.SigningKey == nil:
		return stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q accepts signed commits only; set spec.git.commit.signingKey to a key that its spec.verify.secretRef knows", name)
	case !inSparseCheckout(r, repository):
		return stalled(v1alpha1.ReasonRepositoryUnusable, "GitRepository %q checks out only some folders (spec.sparseCheckout), and not %q; add it there, or change spec.path", name, cleanPath(r.Spec.Path))
	case repository.Spec.Suspend:
		return failing(v1alpha1.ReasonRepositorySuspended, "GitRepository %q is suspended; resume it: flux resume source git %s -n %s", name, repository.Name, repository.Namespace)
	}
	return nil
}

func repositoryName(r *v1alpha1.ThreeScaleRestore) string {
	return qualified(r, r.Spec.SourceRef.NamespacedReference)
}

func qualified(r *v1alpha1.ThreeScaleRestore, ref v1alpha1.NamespacedReference) string {
	return NamespaceOf(r, ref) + "/" + ref.Name
}

// NamespaceOf is the namespace of what ref names.
func NamespaceOf(r *v1alpha1.ThreeScaleRestore, ref v1alpha1.NamespacedReference) string {
	if ref.Namespace != "" {
		return ref.Namespace
	}
	return r.Namespace
}

// crossesNamespace tells whether what ref names is of another namespace.
func crossesNamespace(r *v1alpha1.ThreeScaleRestore, ref v1alpha1.NamespacedReference) bool {
	return NamespaceOf(r, ref) != r.Namespace
}

// checkWriter keeps a restore out of repositories whose owner did not let its
// namespace in: a GitRepository lends its credentials to whoever may name it. It
// says the same of one that is not there, or anybody could find out what is.
func checkWriter(o *State) *Problem {
	r := o.Restore
	if !crossesNamespace(r, r.Spec.SourceRef.NamespacedReference) {
		return nil
	}
	name := repositoryName(r)
	if o.NoCrossNamespaceRefs {
		return stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q is of another namespace, and the controller runs with --no-cross-namespace-refs; name one of namespace %q", name, r.Namespace)
	}
	if o.Repository != nil {
		for _, folder := range writerFolders(o.Repository.Annotations[WritersAnnotation], r.Namespace) {
			if below(cleanPath(r.Spec.Path), folder) {
				return checkForeignBranches(o)
			}
		}
	}
	folder := "./" + strings.TrimPrefix(cleanPath(r.Spec.Path), ".")
	return stalled(v1alpha1.ReasonAccessDenied, "GitRepository %q does not exist, or does not let namespace %q write to %q; its owner can, by an entry %s=%s in its annotation %s (entries are separated by commas)",
		name, r.Namespace, folder, r.Namespace, folder, WritersAnnotation)
}

// writerFolders are the folders that the annotation gives to a namespace. An
// entry that does not parse gives nothing.
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
