package archive

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"threescale.dev/backup/fn/archive/internal/dirfd"
	"threescale.dev/backup/fn/archive/internal/lists"
	"threescale.dev/backup/fn/archive/internal/walk"
)

// What APIManagerBackup wrote lies at the root of the volume: the objects in secrets, configmaps and apimanager, the
// files in system-filestorage-pvc. There is no list of it, so it is taken as it is found.

// operatorObjects lists the paths of the objects, in the order of the lists.
func (v *Volume) operatorObjects() ([]string, error) {
	var paths []string
	for _, name := range objectDirs() {
		d, err := v.operatorDir(name)
		if err != nil {
			return nil, err
		}
		if d == nil {
			continue
		}
		names, err := d.Names()
		if err := errors.Join(err, d.Close()); err != nil {
			return nil, err
		}
		for _, base := range names {
			if strings.HasSuffix(base, ".json") {
				paths = append(paths, name+"/"+base)
			}
		}
	}
	return paths, nil
}

// operatorDir opens a real directory at the root, or returns nil if there is none.
func (v *Volume) operatorDir(name string) (*dirfd.Dir, error) {
	kind, err := v.root.Kind(name)
	if err != nil || kind != unix.S_IFDIR {
		return nil, err
	}
	return v.root.Sub(name)
}

// readOperatorObject reads one object. An empty file is what APIManagerBackup leaves of an object it could not read.
func (v *Volume) readOperatorObject(path string) (data []byte, problem *Problem, err error) {
	damaged := &Problem{Path: lists.Escape(path), Kind: Malformed}
	data, err = v.root.ReadFile(path, maxUnknownSize)
	switch {
	case notLooked(err):
		return nil, nil, err
	case err != nil:
		damaged.Got = err.Error()
	case len(data) == 0:
		damaged.Got = "size 0"
	default:
		return data, nil, nil
	}
	return nil, damaged, nil
}

// verifyOperator reports what is missing, unreadable or empty.
func (v *Volume) verifyOperator(ctx context.Context, c *verifier) error {
	c.report.Warnings = append(c.report.Warnings, "written by APIManagerBackup: there are no digests to verify it by")
	if want := c.opts.ManifestSHA256; want != "" {
		c.report.add(Problem{Path: manifestName, Kind: Missing, Want: "sha256:" + want})
	}
	paths, err := v.operatorObjects()
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, problem, err := v.readOperatorObject(path)
		if err != nil {
			return err
		}
		if problem != nil {
			c.report.add(*problem)
			continue
		}
		c.report.Objects++
		c.report.Bytes += int64(len(data))
	}
	if !slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, "apimanager/") }) {
		c.report.add(Problem{Path: "apimanager", Kind: Missing})
	}
	files, err := v.operatorDir(storageName)
	if files == nil || err != nil {
		c.report.add(Problem{Path: storageName, Kind: Missing})
		return err
	}
	defer files.Close()
	found, err := walk.Scan(ctx, files, walk.Options{Workers: c.opts.Workers})
	if err != nil {
		return err
	}
	for _, u := range found.Unreadable {
		if err := c.blame(u.Err, Problem{Path: storageName + "/" + lists.Escape(u.Path), Kind: Malformed}); err != nil {
			return err
		}
	}
	c.report.Files += found.List.Count.Files
	c.report.Bytes += found.List.Count.Bytes
	return nil
}

// operatorFiles opens the files, or returns fs.ErrNotExist.
func (v *Volume) operatorFiles() (*dirfd.Dir, error) {
	d, err := v.operatorDir(storageName)
	if d == nil && err == nil {
		err = v.root.Fail("open", storageName, fs.ErrNotExist)
	}
	return d, err
}
