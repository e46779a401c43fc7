package archive

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
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
		names, err := d.names()
		if err := errors.Join(err, d.close()); err != nil {
			return nil, err
		}
		slices.Sort(names)
		for _, base := range names {
			if strings.HasSuffix(base, ".json") {
				paths = append(paths, name+"/"+base)
			}
		}
	}
	return paths, nil
}

// operatorDir opens a real directory at the root, or returns nil if there is none.
func (v *Volume) operatorDir(name string) (*dir, error) {
	kind, err := v.root.kind(name)
	if err != nil || kind != unix.S_IFDIR {
		return nil, err
	}
	return v.root.sub(name)
}

// readOperatorObject reads one object. An empty file is what APIManagerBackup leaves of an object it could not read.
func (v *Volume) readOperatorObject(path string) (data []byte, problem *Problem) {
	parent, name := splitPath(path)
	damaged := &Problem{Path: visPath(path), Kind: Malformed}
	d, err := v.root.sub(parent)
	if err == nil {
		data, err = d.readFile(name, maxUnknownSize)
		err = errors.Join(err, d.close())
	}
	if err != nil {
		damaged.Got = err.Error()
		return nil, damaged
	}
	if len(data) == 0 {
		damaged.Got = "size 0"
		return nil, damaged
	}
	return data, nil
}

// verifyOperator tells what is evidently damaged.
func (c *verifier) verifyOperator(ctx context.Context) error {
	c.report.Warnings = append(c.report.Warnings, "written by APIManagerBackup: there are no digests to verify it by")
	paths, err := c.volume.operatorObjects()
	if err != nil {
		return err
	}
	for _, path := range paths {
		data, problem := c.volume.readOperatorObject(path)
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
	files, err := c.volume.operatorDir(storageName)
	if files == nil || err != nil {
		c.report.add(Problem{Path: storageName, Kind: Missing})
		return err
	}
	defer files.close()
	found, err := scan(ctx, files, scanOptions{Workers: c.opts.Workers})
	if err != nil {
		return err
	}
	for _, u := range found.unreadable {
		c.report.add(Problem{Path: storageName + "/" + visPath(u.Path), Kind: Malformed, Got: u.Err.Error()})
	}
	c.report.Files += found.list.count.files
	c.report.Bytes += found.list.count.bytes
	return nil
}

// operatorFiles opens the files, or returns fs.ErrNotExist.
func (v *Volume) operatorFiles() (*dir, error) {
	d, err := v.operatorDir(storageName)
	if d == nil && err == nil {
		err = v.root.fail("open", storageName, fs.ErrNotExist)
	}
	return d, err
}
