package dataset

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	fileMode      = 0o644
	directoryMode = 0o755
	// maxFile is the size of the largest file of any set.
	maxFile = 4 << 20
)

// Generate writes the files of a set below dir, which it creates if it is not
// there, and returns how many there are. Paths, contents, modes and
// modification times, those of directories too, depend on set and seed alone.
// It fails when dir holds anything but lost+found, and when a file cannot be
// written; what was written until then stays.
func Generate(dir string, set Set, seed int64) (Stats, error) {
	s, err := shapeOf(set)
	if err != nil {
		return Stats{}, err
	}
	if err := requireEmpty(dir); err != nil {
		return Stats{}, err
	}
	files := plan(s, seed)
	directories := directoriesOf(files)
	if err := makeDirectories(dir, directories); err != nil {
		return Stats{}, err
	}
	if err := writeFiles(dir, files); err != nil {
		return Stats{}, err
	}
	if err := setTimes(dir, directories); err != nil {
		return Stats{}, err
	}
	return statsOf(set, s, files, directories), nil
}

// requireEmpty creates dir, or makes sure that nothing in it would be mixed
// with the set.
func requireEmpty(dir string) error {
	if err := os.MkdirAll(dir, directoryMode); err != nil {
		return fmt.Errorf("cannot create directory %q: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read directory %q: %w", dir, err)
	}
	for _, entry := range entries {
		if entry.Name() != "lost+found" {
			return fmt.Errorf("cannot generate files in %q: it is not empty", dir)
		}
	}
	return nil
}

// directoriesOf returns each directory of the files, the root as ".", with the
// time of its latest file.
func directoriesOf(files []file) map[string]time.Time {
	directories := map[string]time.Time{}
	for _, f := range files {
		for name := filepath.Dir(f.path); ; name = filepath.Dir(name) {
			if directories[name].Before(f.mtime) {
				directories[name] = f.mtime
			}
			if name == "." {
				break
			}
		}
	}
	return directories
}

// makeDirectories creates all directories but the root, whose mode is the caller's.
func makeDirectories(dir string, directories map[string]time.Time) error {
	for _, name := range slices.Sorted(maps.Keys(directories)) {
		if name == "." {
			continue
		}
		if err := os.Mkdir(filepath.Join(dir, name), directoryMode); err != nil {
			return fmt.Errorf("cannot create directory %q: %w", name, err)
		}
		if err := os.Chmod(filepath.Join(dir, name), directoryMode); err != nil {
			return fmt.Errorf("cannot set the mode of directory %q: %w", name, err)
		}
	}
	return nil
}

// writeFiles writes the files with one worker a processor, but at least two.
func writeFiles(dir string, files []file) error {
	workers := max(2, runtime.NumCPU())
	var group errgroup.Group
	for first := range workers {
		group.Go(func() error {
			buffer := make([]byte, maxFile)
			for i := first; i < len(files); i += workers {
				if err := writeFile(dir, files[i], buffer[:files[i].size]); err != nil {
					return fmt.Errorf("cannot write file %q: %w", files[i].path, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func writeFile(dir string, f file, buffer []byte) error {
	fill(buffer, f)
	name := filepath.Join(dir, f.path)
	if err := os.WriteFile(name, buffer, fileMode); err != nil {
		return err
	}
	if err := os.Chmod(name, fileMode); err != nil {
		return err
	}
	return os.Chtimes(name, f.mtime, f.mtime)
}

// setTimes gives the directories their times, after nothing more is written to
// them.
func setTimes(dir string, directories map[string]time.Time) error {
	for name, mtime := range directories {
		if err := os.Chtimes(filepath.Join(dir, name), mtime, mtime); err != nil {
			return fmt.Errorf("cannot set the time of %q: %w", name, err)
		}
	}
	return nil
}

func statsOf(set Set, s shape, files []file, directories map[string]time.Time) Stats {
	stats := Stats{Set: set, Tenants: s.tenants, Files: len(files), Directories: len(directories) - 1}
	for _, f := range files {
		stats.Bytes += int64(f.size)
	}
	return stats
}
