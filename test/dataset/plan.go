package dataset

import (
	"fmt"
	"math/rand/v2"
	"path"
	"time"
)

// file is one file to write. Its content follows from its seed alone, so that
// workers may write in any order.
type file struct {
	path  string
	size  int
	mtime time.Time
	seed  uint64
}

// plan draws all files of a set, tenant by tenant.
func plan(s shape, seed int64) []file {
	random := rand.New(rand.NewPCG(uint64(seed), 0x3cA1e))
	files := make([]file, 0, s.tenants*s.filesPerTenant)
	for number := 1; number <= s.tenants; number++ {
		t := tenant{name: fmt.Sprintf("tenant-%03d", number), random: random, shape: s}
		files = append(files, t.files(number)...)
	}
	return files
}

// tenant draws the files of one account of 3scale.
type tenant struct {
	name   string
	random *rand.Rand
	shape  shape
}

// files returns the uploads of a tenant and, if the set has them, its logos.
// Uploads lie on a limited number of days, since portals are edited in bursts.
func (t tenant) files(number int) []file {
	joined := time.Date(2021, 1, 4, 0, 0, 0, 0, time.UTC).AddDate(0, 0, t.random.IntN(700))
	var files []file
	if t.shape.logos {
		files = t.logos(number, joined)
	}
	days := max(1, t.shape.filesPerTenant/8)
	for len(files) < t.shape.filesPerTenant {
		day := joined.AddDate(0, 0, t.random.IntN(days)*1500/days)
		files = append(files, t.upload(day))
	}
	return files
}

// upload draws a file of the developer portal, under the path that porta gives
// it: :date_partition/:basename-:random_secret.:extension
// (config/initializers/paperclip.rb).
func (t tenant) upload(day time.Time) file {
	kind := pick(t.random, kinds())
	name := fmt.Sprintf("%s-%016x%s", pick(t.random, basenames()), t.random.Uint64(), kind.extension)
	return t.file(path.Join(day.Format("2006/01/02"), name), day)
}

// logos draws the renderings of a tenant's logo, under the path that porta's
// Profile gives them.
func (t tenant) logos(number int, day time.Time) []file {
	var files []file
	name := pick(t.random, []string{"logo.png", "Logo (final).png", "logótipo.png"})
	for _, style := range []string{"original", "large", "medium", "thumb", "invoice"} {
		files = append(files, t.file(fmt.Sprintf("%d/profiles/logos/%s/%s", number+1, style, name), day))
	}
	return files
}

// file draws the size, the time of day and the content of a file.
func (t tenant) file(name string, day time.Time) file {
	return file{
		path:  path.Join(t.name, name),
		size:  t.shape.size(t.random),
		mtime: day.Add(time.Duration(t.random.Int64N(int64(24 * time.Hour)))),
		seed:  t.random.Uint64(),
	}
}

// basenames returns names as users upload them: with spaces, accents (composed
// and decomposed), other scripts, brackets and a leading dot.
func basenames() []string {
	return []string{
		"application", "main", "style", "theme", "bootstrap.min", "jquery-3.6.0", "logo", "favicon", "hero-banner",
		"background", "icon-sprite", "index", "docs", "getting-started", "api-reference", "changelog", "terms",
		"privacy", "pricing", "faq", "swagger-ui", "openapi-spec", "sdk-guide", "release notes", "Terms of Use",
		"Screenshot 2023-04-11 at 10.12.33", "Preisübersicht", "guía de inicio", "présentation du produit", "cafe\u0301",
		"利用規約", "data sheet (v2)", "R&D overview", "100% uptime", ".htaccess",
	}
}

// pick draws an item of a list.
func pick[T any](random *rand.Rand, list []T) T { return list[random.IntN(len(list))] }
