package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"threescale.dev/backup/fn/publish/internal/failure"
)

// unfinished are what Git keeps while a merge or the like waits for its user.
var unfinished = []string{"MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply"}

// emptyTree is the name of a tree without entries, which Git knows without it being stored.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

// git runs the git program in the repository, without hooks, and returns what it prints.
func (l *local) git(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"--literal-pathspecs", "-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false"}, args...)...)
	command.Dir = l.Directory
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { // of a repository that is meant elsewhere
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX"}, name)
	})
	command.Env = append(command.Env, "LC_ALL=C")
	if ctx.Done() == nil { // nothing ends it: nor does Ctrl-C, which a terminal sends to all processes of a group
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", errors.Join(ctx.Err(), err), said.String())
	}
	return out.String(), nil
}

// linkedWorkTree finds the one, made by git worktree, that has the branch
// checked out; empty without it.
func (l *local) linkedWorkTree(ctx context.Context) (string, error) {
	list, err := l.git(ctx, "worktree", "list", "--porcelain")
	if err != nil {
		return "", err
	}
	trees := strings.Split(list, "\n\n")
	for _, tree := range trees[1:] { // the first is the repository's own
		lines := strings.Split(tree, "\n")
		if slices.Contains(lines, "branch "+l.branch.String()) {
			return strings.TrimPrefix(lines[0], "worktree "), nil
		}
	}
	return "", nil
}

// checkWork refuses a commit that the work tree could not show without losing
// changes of its user's. Whoever makes none has the paths checked all the same.
func (l *local) checkWork(ctx context.Context, paths []string, made plumbing.Hash) error {
	for _, name := range unfinished {
		if _, err := os.Lstat(filepath.Join(l.Directory, git.GitDirName, name)); err == nil {
			return fail(WorkTreeDirty, "cannot commit to %q: a merge, rebase or the like is not finished (%s); finish it first", l.Directory, name)
		}
	}
	for _, name := range paths {
		if err := l.checkFolders(name); err != nil {
			return err
		}
	}
	if len(paths) > 0 {
		changed, err := l.git(ctx, append([]string{"status", "--porcelain", "-z", "--untracked-files=all", "--ignored", "--"}, paths...)...)
		if err != nil {
			return l.broken(err)
		}
		if first, _, found := strings.Cut(changed, "\x00"); found {
			const state = len("XY ")
			return l.differs(first[state:])
		}
	}
	if made.IsZero() {
		return nil
	}
	return l.show(ctx, l.head, made, "--dry-run")
}

func (l *local) differs(name string) error {
	return fail(WorkTreeDirty, "cannot write %q in the work tree %q: it differs from the newest commit; commit it, or put it back, first", name, l.Directory)
}

// checkFolders refuses a path below what is no folder in the work tree. If that is ignored, git does not list it, and removes it.
func (l *local) checkFolders(name string) error {
	for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
		if found, err := os.Lstat(filepath.Join(l.Directory, folder)); err == nil && !found.IsDir() {
			return l.differs(folder)
		}
	}
	return nil
}

// show has the work tree and the index show one commit instead of another; the zero hash has no files.
func (l *local) show(ctx context.Context, before, after plumbing.Hash, flags ...string) error {
	args := append([]string{"read-tree", "-m", "-u"}, flags...)
	for _, commit := range []plumbing.Hash{before, after} {
		if commit.IsZero() {
			commit = plumbing.NewHash(emptyTree)
		}
		args = append(args, commit.String())
	}
	_, err := l.git(ctx, args...)
	switch {
	case err == nil:
		return nil
	case failure.ContextCause(err) != nil:
		return l.broken(err)
	case strings.Contains(err.Error(), "index.lock"):
		return fail(RaceLost, "cannot lock the work tree %q: another Git command is running in it; wait for it, or remove .git/index.lock if there is none", l.Directory)
	default:
		return fail(WorkTreeDirty, "cannot bring the commit into the work tree %q: %v", l.Directory, err)
	}
}
