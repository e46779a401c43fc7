//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A DebianImage holds programs of this machine's own Debian packages, for those
// that are not static, and static binaries beside them. Its user is root.
type DebianImage struct {
	// Name with registry and tag, as in Image.
	Name string
	// Packages that are installed here; those that they depend on come along.
	Packages []string
	// Binaries are static programs, as in Image.
	Binaries map[string]string
	// Links are symbolic links, and what they lead to: what Debian leaves to
	// update-alternatives, and other names.
	Links map[string]string
	// Env is the environment, as KEY=value.
	Env []string
}

// LoadDebianImage gives the node an image of packages.
func (c *Cluster) LoadDebianImage(ctx context.Context, i DebianImage) error {
	layer, err := i.layer(ctx)
	if err != nil {
		return fmt.Errorf("cannot create layer of image %q: %w", i.Name, err)
	}
	return c.loadImage(ctx, i.Name, layer, v1.Config{Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, i.Env...), User: "0"})
}

// layer is a tar stream with all files, each directory before what is in it.
func (i DebianImage) layer(ctx context.Context) ([]byte, error) {
	packages, err := packageClosure(ctx, i.Packages)
	if err != nil {
		return nil, err
	}
	paths, err := packageFiles(ctx, packages)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, path := range paths {
		if err := addFile(w, path); err != nil {
			return nil, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(i.Links)) {
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Linkname: i.Links[path], Typeflag: tar.TypeSymlink, Mode: 0o777}); err != nil {
			return nil, err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(i.Binaries)) {
		if err := addBinary(w, path, i.Binaries[path]); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), w.Close()
}

// packageClosure are the packages and all that they depend on, of what is
// installed.
func packageClosure(ctx context.Context, packages []string) ([]string, error) {
	out, err := run(ctx, "dpkg-query", "--show", "--showformat", `${Package}\t${Pre-Depends}, ${Depends}\n`)
	if err != nil {
		return nil, err
	}
	dependencies := map[string]string{}
	for line := range strings.Lines(out) {
		name, depends, _ := strings.Cut(strings.TrimSpace(line), "\t")
		dependencies[name] = depends
	}
	closure := map[string]bool{}
	for open := slices.Clone(packages); len(open) > 0; {
		name := open[0]
		open = open[1:]
		if closure[name] {
			continue
		}
		depends, installed := dependencies[name]
		if !installed {
			return nil, fmt.Errorf("package %q is not installed", name)
		}
		closure[name] = true
		for clause := range strings.SplitSeq(depends, ",") {
			if next := firstInstalled(clause, dependencies); next != "" {
				open = append(open, next)
			}
		}
	}
	return slices.Sorted(maps.Keys(closure)), nil
}

// firstInstalled is the first alternative of a dependency that is installed. What
// another package provides is left out: nothing that a script runs is.
func firstInstalled(clause string, installed map[string]string) string {
	for alternative := range strings.SplitSeq(clause, "|") {
		name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
		name, _, _ = strings.Cut(name, ":")
		if _, found := installed[name]; found && name != "" {
			return name
		}
	}
	return ""
}

// packageFiles are the files of packages by the path that they really have, and
// the symbolic links of a merged /usr; without documentation.
func packageFiles(ctx context.Context, packages []string) ([]string, error) {
	out, err := run(ctx, "dpkg-query", append([]string{"--listfiles"}, packages...)...)
	if err != nil {
		return nil, err
	}
	paths := map[string]bool{"/bin": true, "/lib": true, "/lib64": true, "/sbin": true, "/tmp": true}
	for line := range strings.Lines(out) {
		path := strings.TrimSpace(line)
		if !filepath.IsAbs(path) || path == "/." || isDocumentation(path) {
			continue
		}
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if errors.Is(err, fs.ErrNotExist) {
			continue // An administrator removed it.
		}
		if err != nil {
			return nil, fmt.Errorf("cannot resolve folder of %q: %w", path, err)
		}
		paths[filepath.Join(folder, filepath.Base(path))] = true
	}
	return slices.Sorted(maps.Keys(paths)), nil
}

func isDocumentation(path string) bool {
	for _, folder := range []string{"doc", "info", "lintian", "locale", "man"} {
		if strings.HasPrefix(path, "/usr/share/"+folder+"/") {
			return true
		}
	}
	return false
}

// addFile adds a file of this machine under its own path. What is no longer there
// is left out.
func addFile(w *tar.Writer, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at %q: %w", path, err)
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return fmt.Errorf("cannot read link %q: %w", path, err)
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return fmt.Errorf("cannot describe %q: %w", path, err)
	}
	header.Name = strings.TrimPrefix(path, "/")
	if err := w.WriteHeader(header); err != nil {
		return fmt.Errorf("cannot add %q: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read %q: %w", path, err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("cannot add %q: %w", path, err)
	}
	return nil
}
