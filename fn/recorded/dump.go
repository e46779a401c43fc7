package recorded

import "time"

// Dump describes the dump of one database.
type Dump struct {
	Name           string       `json:"name"` // of its directory: system-database, zync-database, backend-redis or system-redis
	Kind           DatabaseKind `json:"kind"`
	ServerVersion  string       `json:"serverVersion"`
	Tool           string       `json:"tool,omitempty"` // the client and its version, such as "pg_dump 15.18"
	StartTime      time.Time    `json:"startTime"`      // in UTC, by the clock of the writer's node
	CompletionTime time.Time    `json:"completionTime"` // likewise
	Bytes          int64        `json:"bytes"`          // of all of its files
	Keys           int64        `json:"keys,omitempty"` // of Redis
}

// DatabaseKind is what a database is.
type DatabaseKind string

// Kinds of databases. MySQL is also MariaDB.
const (
	PostgreSQL DatabaseKind = "PostgreSQL"
	MySQL      DatabaseKind = "MySQL"
	Redis      DatabaseKind = "Redis"
	Oracle     DatabaseKind = "Oracle"
)
