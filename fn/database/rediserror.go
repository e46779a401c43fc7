package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"threescale.dev/backup/fn/threescale"
)

// What a login of Redis needs. PEXPIRETIME is taken where it is there, and PTTL with TIME else.
const (
	lookRights = "+select +info +dbsize +get"
	dumpRights = "+select +info +dbsize +get +scan +multi +exec +dump +pttl +time"
	loadRights = "+select +info +dbsize +get +set +watch +multi +exec +restore +flushdb +del"
)

// redisTask is on whose behalf a connection to Redis is made, for its errors.
type redisTask struct {
	database   threescale.Database
	connection threescale.Connection
	rights     string // that the login needs
}

// failed makes an Error of any other, or returns that of the context. Nothing of a key or of a value is in it.
func (t redisTask) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	problem, advice := t.judge(err)
	if advice != "" {
		advice = ": " + advice
	}
	_, written := errors.AsType[*writtenError](err)
	return &Error{Problem: problem, Database: t.database, Err: fmt.Errorf("%s: %w%s", t.connection, &saidError{withoutAddresses(err.Error(), t.connection), err}, advice), Written: written}
}

// judgedError is an error whose problem is known where it happens.
type judgedError struct {
	problem Problem
	err     error
}

func (e *judgedError) Error() string { return e.err.Error() }
func (e *judgedError) Unwrap() error { return e.err }

// judge says what to do about an error.
func (t redisTask) judge(err error) (Problem, string) {
	var long *tooLongError
	var dns *net.DNSError
	var network net.Error
	var system syscall.Errno
	var path *fs.PathError
	judged, isJudged := errors.AsType[*judgedError](err)
	refused, isRefused := errors.AsType[*refusal](err)
	switch {
	case isJudged:
		return judged.problem, ""
	case isRefused:
		return t.judgeRefusal(refused)
	case isTLS(err):
		return Untrusted, "check the port, the CA and the certificates"
	case errors.As(err, &long):
		return Unsupported, "redis-cli --bigkeys finds such keys"
	case errors.Is(err, errNotRESP):
		return Untrusted, "what answers speaks TLS, or it is not Redis"
	case errors.As(err, &system) && slices.Contains([]syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}, system):
		return Full, ""
	case errors.As(err, &path): // It holds a syscall.Errno, which is a net.Error.
		return Failed, ""
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Unreachable, "the server ended the connection; one that expects TLS does so, too"
	case errors.As(err, &dns):
		return Unreachable, "the name of the host is not known: check the URL"
	case errors.As(err, &network):
		return Unreachable, ""
	}
	return Failed, ""
}

// isTLS reports whether an error is about TLS, be it of ours or of what the server says.
func isTLS(err error) bool {
	var handshake *handshakeError
	var alert *net.OpError
	// A server that wants a client's certificate says so after the handshake (TLS 1.3).
	return errors.As(err, &handshake) || errors.As(err, &alert) && alert.Op == "remote error"
}

// judgeRefusal says what a refusal of the server means.
func (t redisTask) judgeRefusal(r *refusal) (Problem, string) {
	switch r.code() {
	case "WRONGPASS":
		return Denied, "correct the login in the Secret"
	case "NOAUTH":
		return Denied, "the server wants a login, and the Secret has none"
	case "NOPERM":
		if strings.HasPrefix(r.command, "SENTINEL") {
			return Denied, "allow it to the login of the sentinels"
		}
		return Denied, fmt.Sprintf("on the server, run ACL SETUSER %s ~* %s", t.user(), t.rights)
	case "DENIED":
		return Denied, ""
	case "LOADING":
		return Unreachable, "try again when the server has loaded its data"
	case "MASTERDOWN", "BUSY":
		return Unreachable, "try again later"
	case "READONLY":
		return Unsupported, "this is a replica: the Secret must name the master"
	case "OOM", "MISCONF":
		return Full, "give the server more space"
	case "MOVED", "CLUSTERDOWN", "CROSSSLOT":
		return Unsupported, errCluster.Error()
	}
	return judgeText(r)
}

// judgeText is judgeRefusal for what has no code of its own.
func judgeText(r *refusal) (Problem, string) {
	has := func(text string) bool { return strings.Contains(r.text, text) }
	switch {
	case r.command == "AUTH":
		return Denied, "correct the login in the Secret"
	case has("max number of clients"):
		return Unreachable, "try again later"
	case has("DB index is out of range"):
		return Unsupported, "the path of the URL is the index of the database"
	case has("unknown command"):
		return Unsupported, "the server must have this command, under this name"
	case has("DUMP payload version"), has("Bad data format"):
		return Unsupported, "the server takes no data of this version: it must be as new as the one that was dumped"
	}
	return Failed, ""
}

func (t redisTask) user() string {
	if t.connection.Username == "" {
		return "default"
	}
	return t.connection.Username
}

var errCluster = errors.New("this is Redis Cluster, which 3scale does not support")
