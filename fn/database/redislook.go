package database

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"threescale.dev/backup/fn/recorded"
	"threescale.dev/backup/fn/threescale"
)

// lookRedis is Look for Redis. Empty is about the index; Bytes are those of the whole server.
func lookRedis(ctx context.Context, d threescale.Database, c threescale.Connection) (Server, error) {
	task := redisTask{d, c, lookRights}
	conn, err := openRedis(ctx, c)
	if err != nil {
		return Server{}, task.failed(ctx, err)
	}
	defer conn.close()
	s, _, err := conn.look()
	return s, task.failed(ctx, err)
}

// look returns what is known of the server, and all that INFO says.
func (c *redisConn) look() (Server, redisInfo, error) {
	info, err := c.info()
	if err != nil {
		return Server{}, nil, err
	}
	c.send("GET", lockKey) // before DBSIZE, which counts a key that has expired until somebody asks for it
	c.send("DBSIZE")
	c.send("GET", loadingKey)
	if err := c.flush(); err != nil {
		return Server{}, nil, err
	}
	s := Server{Kind: recorded.Redis, Version: info["redis_version"], Bytes: info.number("used_memory")}
	_, locked, err := c.value("GET")
	if err != nil {
		return Server{}, nil, err
	}
	keys, err := c.integer("DBSIZE")
	if err != nil {
		return Server{}, nil, err
	}
	s.Empty = keys == 0 || keys == 1 && locked
	text, marked, err := c.value("GET")
	if marked {
		parseMark(text).tell(&s)
	}
	return s, info, err
}

// value reads a string that may not be there.
func (c *redisConn) value(command string) (text string, ok bool, err error) {
	text, err = c.bulk(command)
	if errors.Is(err, errNoBulk) {
		return "", false, nil
	}
	return text, err == nil, err
}

// redisInfo is what INFO says.
type redisInfo map[string]string

func (i redisInfo) number(key string) int64 {
	n, _ := strconv.ParseInt(i[key], 10, 64) // Older servers do not have each.
	return n
}

// info refuses Redis Cluster, each server of which has only a part of the keys.
func (c *redisConn) info() (redisInfo, error) {
	c.send("INFO")
	if err := c.flush(); err != nil {
		return nil, err
	}
	text, err := c.bulk("INFO")
	if err != nil {
		return nil, err
	}
	info := redisInfo{}
	for line := range strings.SplitSeq(text, "\r\n") {
		if key, value, ok := strings.Cut(line, ":"); ok {
			info[key] = value
		}
	}
	if info["redis_mode"] == "cluster" || info["cluster_enabled"] == "1" {
		return nil, &judgedError{Unsupported, errCluster}
	}
	return info, nil
}
