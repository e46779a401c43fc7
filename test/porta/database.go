package porta

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"threescale.dev/backup/test/cluster/machine"
	"threescale.dev/backup/test/porta/redis"
)

// Jobs is how a Database takes the jobs that are pushed to its queue.
type Jobs string

const (
	// Accept them.
	Accept Jobs = ""
	// Fail has Redis refuse them, as one out of memory does.
	Fail Jobs = "fail"
	// Hang has Redis never answer, until it accepts again.
	Hang Jobs = "hang"
)

// DatabaseOptions describe a Database. The zero value is an empty one.
type DatabaseOptions struct {
	// Domain of its tenants, if an installation has filled it already.
	Domain string
	// Tenant is "3scale" by default.
	Tenant string
	// Password of Redis; by default it asks for none.
	Password string
}

// A Database stands for System's database, and for the Redis that holds the queue
// of its jobs. It serves until it is closed, on an address that pods reach.
type Database struct {
	password string
	listener net.Listener
	served   sync.WaitGroup

	mu sync.Mutex
	// domain of the tenants; "" until an installation has filled the database.
	domain, tenant, master string
	jobs                   Jobs
	accepts                chan struct{} // Closed while jobs are not held up.
	pushed                 int
	conns                  map[net.Conn]struct{}
	// namespaces of the installations that use it, and whether a job waits for each.
	namespaces map[string]bool
	// players are told that something has changed.
	changed func(namespaces []string)
	// answers reports whether system-master of a namespace answers.
	answers func(ctx context.Context, namespace string) bool
}

// NewDatabase starts a Database.
func NewDatabase(ctx context.Context, o DatabaseOptions) (*Database, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(machine.Address, "0"))
	if err != nil {
		return nil, fmt.Errorf("cannot listen for Redis: %w", err)
	}
	d := &Database{
		password: o.Password, listener: listener,
		domain: o.Domain, tenant: cmp.Or(o.Tenant, "3scale"), master: "master",
		accepts: make(chan struct{}), conns: map[net.Conn]struct{}{}, namespaces: map[string]bool{},
	}
	close(d.accepts)
	d.served.Go(d.serve)
	return d, nil
}

// URL is what belongs into the key URL of Secret system-redis.
func (d *Database) URL() string {
	var user string
	if d.password != "" {
		user = ":" + d.password + "@"
	}
	return "redis://" + user + d.listener.Addr().String() + "/1"
}

// Close ends it, and the connections that there are.
func (d *Database) Close() error {
	err := d.listener.Close()
	d.Take(Accept)
	d.mu.Lock()
	for conn := range d.conns {
		err = errors.Join(err, conn.Close())
	}
	d.mu.Unlock()
	d.served.Wait()
	return err
}

// SetDomain stands for the SQL by which an administrator moves the tenants to
// another domain: no program of 3scale does it.
func (d *Database) SetDomain(domain string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.domain = domain
}

// Domain is that of the tenants; "" while the database is empty.
func (d *Database) Domain() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.domain
}

// Pushed is how many jobs were taken.
func (d *Database) Pushed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pushed
}

// Take changes how jobs are taken from now on.
func (d *Database) Take(jobs Jobs) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.jobs == Hang && jobs != Hang {
		close(d.accepts)
	}
	if jobs == Hang && d.jobs != Hang {
		d.accepts = make(chan struct{})
	}
	d.jobs = jobs
}

func (d *Database) serve() {
	for {
		conn, err := d.listener.Accept()
		if err != nil {
			return // It is closed.
		}
		d.mu.Lock()
		d.conns[conn] = struct{}{}
		d.mu.Unlock()
		d.served.Go(func() {
			d.answer(conn)
			d.mu.Lock()
			delete(d.conns, conn)
			d.mu.Unlock()
			_ = conn.Close() // The client has gone, or the Database.
		})
	}
}

// answer answers one client until it goes.
func (d *Database) answer(conn net.Conn) {
	known := d.password == ""
	for r := bufio.NewReader(conn); ; {
		words, err := redis.ReadCommand(r)
		if err != nil || len(words) == 0 {
			return
		}
		answer := "-NOAUTH Authentication required."
		switch command := strings.ToUpper(words[0]); {
		case command == "AUTH":
			known = words[len(words)-1] == d.password
			answer = "-WRONGPASS invalid username-password pair or user is disabled."
			if known {
				answer = "+OK"
			}
		case known:
			answer = d.do(command, words[1:])
		}
		if _, err := fmt.Fprintf(conn, "%s\r\n", answer); err != nil {
			return
		}
	}
}

// do does what a known client says.
func (d *Database) do(command string, words []string) string {
	switch {
	case command == "PING":
		return "+PONG"
	case command == "SELECT":
		return "+OK"
	case command == "EXISTS" && len(words) == 1:
		return d.exists(words[0])
	case command == "LPUSH" && len(words) == 2 && words[0] == "queue:zync":
		return d.push()
	}
	return "-ERR unknown command"
}

// exists answers for the one key that is asked for: see package rails, which has
// no other way to system-master.
func (d *Database) exists(key string) string {
	d.mu.Lock()
	answers := d.answers
	d.mu.Unlock()
	namespace, found := strings.CutPrefix(key, "system-master.")
	if found && answers != nil && answers(context.Background(), namespace) {
		return ":1"
	}
	return ":0"
}

// push takes a job, for each installation that has a sidekiq on this queue.
func (d *Database) push() string {
	d.mu.Lock()
	accepts := d.accepts
	d.mu.Unlock()
	<-accepts
	d.mu.Lock()
	if d.jobs == Fail {
		d.mu.Unlock()
		return "-OOM command not allowed when used memory > 'maxmemory'."
	}
	d.pushed++
	d.mu.Unlock()
	d.enqueue()
	return ":1"
}

// enqueue has a job wait for each installation.
func (d *Database) enqueue() {
	d.mu.Lock()
	namespaces := make([]string, 0, len(d.namespaces))
	for namespace := range d.namespaces {
		d.namespaces[namespace] = true
		namespaces = append(namespaces, namespace)
	}
	changed := d.changed
	d.mu.Unlock()
	if changed != nil {
		changed(namespaces)
	}
}

// seed fills an empty database, and reports whether it was one.
func (d *Database) seed(domain, tenant, master string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.domain != "" {
		return false
	}
	d.domain, d.tenant, d.master = domain, tenant, master
	return true
}

// take takes the job of an installation, if there is one.
func (d *Database) take(namespace string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	waits := d.namespaces[namespace]
	if _, uses := d.namespaces[namespace]; uses {
		d.namespaces[namespace] = false
	}
	return waits
}

// putBack has a job that failed wait again, as sidekiq does.
func (d *Database) putBack(namespace string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, uses := d.namespaces[namespace]; uses {
		d.namespaces[namespace] = true
	}
}

func (d *Database) waits(namespace string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.namespaces[namespace]
}
