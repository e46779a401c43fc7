package facts

import (
	"threescale.dev/backup/fn/api/v1alpha1"
	"threescale.dev/backup/fn/threescale"
)

// Database is one that spec.databases names.
type Database struct {
	Name threescale.Database
	// Field of the spec that names it.
	Field string
	// SQL is what it needs; nil: it is a Redis database, which needs nothing.
	SQL *v1alpha1.SQLDatabase
}

// Databases are those that spec.databases names, in the order in which they are dumped.
func (f *Facts) Databases() []Database {
	wish := f.Spec.Databases
	if wish == nil {
		return nil
	}
	named := map[threescale.Database]Database{}
	if wish.BackendRedis != nil {
		named[threescale.BackendRedis] = Database{Field: "databases.backendRedis"}
	}
	if wish.SystemRedis != nil {
		named[threescale.SystemRedis] = Database{Field: "databases.systemRedis"}
	}
	if wish.Zync != nil {
		named[threescale.ZyncDatabase] = Database{Field: "databases.zync", SQL: wish.Zync}
	}
	if wish.System != nil {
		named[threescale.SystemDatabase] = Database{Field: "databases.system", SQL: wish.System}
	}
	var out []Database
	for _, name := range threescale.Databases() {
		if d, ok := named[name]; ok {
			d.Name = name
			out = append(out, d)
		}
	}
	return out
}
