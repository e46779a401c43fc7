// Package databases runs the statements of examples/restore/databases on real
// servers, MariaDB and PostgreSQL, with the tables of porta's System database:
// another wildcard domain, a copy made quiet for a rehearsal, and the way back.
//
// The servers are Debian's, as children of the test, with a directory of their
// own. A machine without them skips the tests.
package databases
