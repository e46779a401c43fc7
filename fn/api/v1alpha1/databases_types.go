package v1alpha1

// Databases puts the databases of an installation into its runs. Each is dumped only if
// it is named.
//
// +kubebuilder:validation:MinProperties=1
type Databases struct {
	// System's database, with all of the configuration: PostgreSQL or MySQL.
	// +optional
	System *SQLDatabase `json:"system,omitempty"`
	// Zync's database; only an external one.
	// +optional
	Zync *SQLDatabase `json:"zync,omitempty"`
	// The storage of Backend's Redis, with the counters of usage; not its queues.
	// +optional
	BackendRedis *RedisDatabase `json:"backendRedis,omitempty"`
	// System's Redis. It holds queues: the jobs in it run once more after a restore, such
	// as mails and billing.
	// +optional
	SystemRedis *RedisDatabase `json:"systemRedis,omitempty"`
}

// SQLDatabase is a database that is dumped with its own client.
type SQLDatabase struct {
	// Image with the client of the server's own major version (pg_dump, or mysqldump or
	// mariadb-dump). The image's own command does not run, and it needs no shell.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
}

// RedisDatabase is a Redis database. It needs no client.
type RedisDatabase struct{}

// DatabaseDump says how a database was dumped.
type DatabaseDump struct {
	// Which one: system-database, zync-database, backend-redis or system-redis.
	Name string `json:"name"`
	// PostgreSQL, MySQL (MariaDB too) or Redis.
	Kind string `json:"kind"`
	// Version of the server.
	// +optional
	ServerVersion string `json:"serverVersion,omitempty"`
	// Size of the dump, in bytes.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`
}
