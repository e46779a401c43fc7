package archive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dataset describes a file storage as porta fills one: tenant-NNN/YYYY/MM/DD/<basename>-<16 hex>.<ext>.
type dataset struct {
	tenants int
	files   int // of each tenant
	days    int // that the files are spread over
	size    int // below which those of the files are
}

// write makes the files below root, always the same ones.
func (d dataset) write(t *testing.T, root string) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 5))
	noise := make([]byte, 8<<20)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	names := []string{"logo", "header image", "réglement", "invoice", "terms & conditions", "API spec", "größe", "avatar"}
	exts := []string{"png", "pdf", "jpg", "css", "html"}
	start := time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)
	for tenant := range d.tenants {
		for range d.files {
			day := start.AddDate(0, 0, r.IntN(d.days))
			dir := filepath.Join(root, fmt.Sprintf("tenant-%03d", tenant), day.Format("2006/01/02"))
			require.NoError(t, os.MkdirAll(dir, 0o755))
			name := fmt.Sprintf("%s-%016x.%s", names[r.IntN(len(names))], r.Uint64(), exts[r.IntN(len(exts))])
			size, from := r.IntN(d.size), r.IntN(4<<20)
			path := filepath.Join(dir, strings.ToLower(name))
			require.NoError(t, os.WriteFile(path, noise[from:from+size], 0o644))
			require.NoError(t, os.Chtimes(path, day, day.Add(time.Duration(r.IntN(1e9)))))
		}
	}
}
