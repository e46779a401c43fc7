package database

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"threescale.dev/backup/fn/recorded"
)

// version of a SQL server or of its client.
type version struct {
	text         string // such as 15.18
	major, minor int
	mariaDB      bool
}

var leadingNumbers = regexp.MustCompile(`^(\d{1,6})(?:\.(\d{1,6}))?(?:\.\d+)*`)

// parseVersion reads what a server calls its version, such as "15.18 (Debian 15.18-0+deb12u1)", "8.0.36-log",
// "16beta1" or "10.11.19-MariaDB-0+deb12u1".
func parseVersion(text string) version {
	v := version{mariaDB: strings.Contains(strings.ToLower(text), "mariadb")}
	text = strings.TrimPrefix(text, "5.5.5-") // by which MariaDB told old replicas that it is a MySQL
	match := leadingNumbers.FindStringSubmatch(text)
	if match == nil {
		return v
	}
	v.text = match[0]
	v.major, _ = strconv.Atoi(match[1]) // Digits, and few.
	v.minor, _ = strconv.Atoi(match[2])
	return v
}

// String returns the version as Server and recorded.Dump have it.
func (v version) String() string {
	if v.mariaDB {
		return v.text + "-MariaDB"
	}
	return v.text
}

// clientVersion finds the version in what a client prints of itself: "pg_dump (PostgreSQL) 15.18", "mysqldump  Ver 8.0.36 for
// Linux", "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB", or "mariadb-dump from 11.4.2-MariaDB, client 10.19".
var clientVersion = regexp.MustCompile(`(?:Distrib |from |\) |Ver )(\d+[0-9.]*\S*)`)

// parseClientVersion reads what a client prints when it is asked for its version; false if it is none.
func parseClientVersion(text string) (version, bool) {
	matches := clientVersion.FindAllStringSubmatch(text, -1)
	if len(matches) == 0 {
		return version{}, false
	}
	match := matches[0]
	if i := slices.IndexFunc(matches, func(m []string) bool { return strings.HasPrefix(m[0], "Distrib ") }); i >= 0 {
		match = matches[i] // What is before it is a version of the program alone.
	}
	v := parseVersion(match[1])
	v.mariaDB = strings.Contains(text, "MariaDB")
	return v, v.text != ""
}

// series returns what has to agree for a dump to be taken: the major version, and before PostgreSQL 10 and for MySQL two numbers.
func (v version) series(kind recorded.DatabaseKind) []int {
	if kind == recorded.PostgreSQL && v.major >= 10 {
		return []int{v.major}
	}
	return []int{v.major, v.minor}
}

// olderThan reports whether v is of an older series than w.
func (v version) olderThan(w version, kind recorded.DatabaseKind) bool {
	return slices.CompareFunc(v.series(kind), w.series(kind), cmp.Compare[int]) < 0
}

// name returns product and series, such as "PostgreSQL 15" or "MariaDB 10.11".
func (v version) name(kind recorded.DatabaseKind) string {
	product := string(kind)
	if v.mariaDB {
		product = "MariaDB"
	}
	series := strings.ReplaceAll(strings.Trim(fmt.Sprint(v.series(kind)), "[]"), " ", ".")
	return product + " " + series
}
