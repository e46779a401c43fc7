package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cacheVariable overrides where the binaries are kept.
const cacheVariable = "THREESCALE_BACKUP_PEERS"

// productModule is the module in whose tree this package's folders are found.
const productModule = "threescale.dev/backup"

// Binary returns the path of the named program, which it builds if no earlier
// call did. The first build of Kubernetes takes minutes; a line on standard
// error says so. Two processes may ask at once: one builds, the other waits.
func Binary(ctx context.Context, name string) (string, error) {
	r, ok := recipes()[name]
	if !ok {
		return "", fmt.Errorf("cannot build peer %q: no such peer, there are: %s", name, strings.Join(Names(), ", "))
	}
	folder, err := sourceFolder(ctx, r.folder)
	if err != nil {
		return "", err
	}
	path, err := cachePath(folder, name, r)
	if err != nil {
		return "", err
	}
	if isExecutable(path) {
		return path, nil
	}
	unlock, err := lock(path + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if isExecutable(path) {
		return path, nil
	}
	fmt.Fprintf(os.Stderr, "peers: building %s %s (only the first time)\n", name, r.version)
	start := time.Now()
	if err := buildAtomically(ctx, build{dir: folder, pkg: r.pkg, out: path, variables: r.variables}); err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "peers: built %s in %s\n", name, time.Since(start).Round(time.Second))
	return path, nil
}

// Build builds a main package of the product's own module as a static binary,
// as it goes into an image. The go tool's cache makes a repeated build cheap.
func Build(ctx context.Context, pkg, out string) error {
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	return buildAtomically(ctx, build{dir: root, pkg: pkg, out: out})
}

// ModuleDir returns the folder with the source of a peer's module, as the go
// tool unpacked it: the place of its CRDs, charts and rights.
func ModuleDir(ctx context.Context, peer string) (string, error) {
	module, ok := modules()[peer]
	if !ok {
		return "", fmt.Errorf("cannot find module of peer %q: no such peer", peer)
	}
	folder, err := sourceFolder(ctx, peer)
	if err != nil {
		return "", err
	}
	out, err := goTool(ctx, folder, "mod", "download", "-json", module)
	if err != nil {
		return "", err
	}
	var info struct {
		Dir   string `json:"Dir"`
		Error string `json:"Error"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return "", fmt.Errorf("cannot read module info of peer %q: %w", peer, err)
	}
	if info.Error != "" {
		return "", fmt.Errorf("cannot download module %q: %w", module, errors.New(info.Error))
	}
	return info.Dir, nil
}

// CacheDir is the folder in which the binaries are kept.
func CacheDir() (string, error) {
	if dir := os.Getenv(cacheVariable); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cannot find cache folder, set %s: %w", cacheVariable, err)
	}
	return filepath.Join(dir, "threescale-backup", "peers"), nil
}

// cachePath is where the binary is or will be. Everything that the build
// depends on is in the hash, so a changed pin never finds a stale binary.
func cachePath(folder, name string, r recipe) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	inputs := fmt.Appendln(nil, runtime.GOOS, runtime.GOARCH, runtime.Version(), r.pkg, r.variables)
	for _, file := range []string{"go.mod", "go.sum", "main.go"} {
		data, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("cannot read source of peer %q: %w", name, err)
		}
		inputs = fmt.Appendf(inputs, "%s %d\n%s", file, len(data), data)
	}
	key := fmt.Sprintf("%s-%s-%.6x", r.folder, r.version, sha256.Sum256(inputs))
	return filepath.Join(cache, key, name), nil
}

// build is one call of go build.
type build struct {
	dir, pkg, out string
	variables     []string
}

// buildAtomically builds beside the final name and renames, so that an
// interrupted build leaves no half-written binary under the name.
func buildAtomically(ctx context.Context, b build) error {
	out, err := filepath.Abs(b.out)
	if err != nil {
		return fmt.Errorf("cannot resolve path %q: %w", b.out, err)
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("cannot create folder of %q: %w", out, err)
	}
	temp := fmt.Sprintf("%s.%d.tmp", out, os.Getpid())
	defer func() { _ = os.Remove(temp) }() // Only there when the build failed.
	flags := []string{"-s", "-w"}
	for _, v := range b.variables {
		flags = append(flags, "-X", v)
	}
	if _, err := goTool(ctx, b.dir, "build", "-trimpath", "-buildvcs=false", "-ldflags", strings.Join(flags, " "), "-o", temp, b.pkg); err != nil {
		return err
	}
	if err := os.Rename(temp, out); err != nil {
		return fmt.Errorf("cannot publish binary %q: %w", out, err)
	}
	return nil
}

// goTool runs the go command in a folder and returns what it prints. The
// result runs in pods without a C library, hence no cgo.
func goTool(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot run go %s in %q: %w: %s", args[0], dir, err, lastLines(stderr.String(), 20))
	}
	return stdout.Bytes(), nil
}

// sourceFolder is the folder of one peer's module in the repository.
func sourceFolder(ctx context.Context, folder string) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "test", "peers", folder), nil
}

// moduleRoot asks the go tool, because a test's working folder is that of its
// package and -trimpath removes the folders from a binary.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := goTool(ctx, "", "list", "-m", "-f", "{{.Dir}}", productModule)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// lock holds an exclusive lock on a file until the returned function is
// called. The kernel drops it when the process dies.
func lock(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("cannot create folder of lock %q: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock %q: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close() // The error that matters is the lock's.
		return nil, fmt.Errorf("cannot take lock %q: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // Closing unlocks; nothing was written.
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
