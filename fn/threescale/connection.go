package threescale

import (
	"errors"

	"threescale.dev/backup/fn/recorded"
)

// Databases returns those that can be dumped, in the order in which they are dumped: what comes later may know more than what comes
// earlier, and never less.
func Databases() []Database {
	return []Database{BackendRedis, SystemRedis, ZyncDatabase, SystemDatabase}
}

// Connection says where a database is, and how to log in. It holds secrets: String, which messages show, has none.
type Connection struct {
	Kind               recorded.DatabaseKind
	Address            Address // with sentinels, Host is the name of the master's group
	Database           string  // its name; of Redis, the number of its index
	Username, Password string
	TLS                *TLS              // nil: not encrypted
	Parameters         map[string]string // the query of the URL, for the client of a SQL database; without those of Rails
	Sentinel           *Sentinel         // of Redis; nil: the server itself
}

// Address of a server.
type Address struct {
	Host string
	Port int
}

// TLS says how a connection is encrypted, and what it proves.
type TLS struct {
	Mode          TLSMode
	CA, Cert, Key []byte // PEM; empty: the system's authorities, no client certificate
}

// TLSMode says what is proven of a server. The modes of 3scale are either tool's; these are ours.
type TLSMode string

// Modes of TLS.
const (
	TLSPreferred TLSMode = "Preferred" // encrypted if the server can; nothing is proven
	TLSRequired  TLSMode = "Required"  // encrypted; nothing is proven
	TLSVerifyCA  TLSMode = "VerifyCA"  // a certificate of the CA
	TLSVerify    TLSMode = "Verify"    // and the name of the host
)

// Sentinel finds the master of a group of Redis servers.
type Sentinel struct {
	Addresses          []Address
	Username, Password string
	TLS                bool
}

var errNotBuilt = errors.New("not built")

// ConnectionKeys returns the name of the Secret that has the connection of a database, and those of its keys that
// ReadConnection may read.
func ConnectionKeys(d Database) (secret string, keys []string) { return "", nil }

// ReadConnection reads the connection of a database from the data of its Secret. encrypted is what the APIManager says
// (DatabaseTLS). Errors name the key and what is wrong with it, and never show a value.
func ReadConnection(d Database, data map[string][]byte, encrypted bool) (Connection, error) {
	return Connection{}, errNotBuilt
}

// String returns host, port and name, without the login.
func (c Connection) String() string { return "" }
