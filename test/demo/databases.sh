# shellcheck shell=bash
# Databases for demo.sh, which sources this file: servers of this machine's own programs, on ports of 127.0.0.1, with a
# password. What they write is in a directory of their own.

umask 022                        # the servers' user reads what is written for them, in a directory that nobody else enters
servers=()                       # processes that stop_servers ends
databases=()                     # what can be shown here, by the names in a run
database_dir=$(mktemp -d)
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
unprivileged=()
if [ "$(id -u)" = 0 ]; then      # PostgreSQL refuses root
  unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  chown 65534:65534 "$database_dir"
fi

# find_databases finds out which servers are installed.
find_databases() {
  local bin
  for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do # where packages have the server, which is then on no PATH
    [ ! -x "$bin/initdb" ] || PATH=$bin:$PATH
  done
  ! type -P redis-server redis-cli >/dev/null || databases+=(backend-redis)
  ! type -P initdb postgres psql pg_dump pg_restore >/dev/null || databases+=(system-database)
  if [ ${#databases[@]} -lt 2 ] && [ -n "${THREESCALE_BACKUP_SKIP_NOTHING-}" ]; then
    echo "PostgreSQL or Redis is not installed (apt-get install postgresql redis-server)" >&2
    return 1
  fi
}

has() { [[ " ${databases[*]} " == *" $1 "* ]]; }

# start_databases starts the servers and fills them, has the Secrets in the directory installation lead to them, and
# writes with-databases.yaml, a claim that names them.
start_databases() {
  local secrets=()
  cp claim.yaml with-databases.yaml
  echo '  databases:' >>with-databases.yaml
  if has backend-redis; then
    start_redis
    redis-cli -p "$redis_port" MSET stats/day:20261121 1710 stats/day:20261122 1742 >/dev/null
    secrets+=(-backend-storage-url "redis://:$password@127.0.0.1:$redis_port/0")
    echo '    backendRedis: {}' >>with-databases.yaml
  fi
  if has system-database; then
    start_postgresql
    psql --quiet --command="CREATE TABLE accounts AS SELECT id, 'Tenant ' || id AS org_name FROM generate_series(1, 3) id"
    secrets+=(-system-database-url "postgresql://threescale:$password@127.0.0.1:$PGPORT/system")
    echo '    system: {image: registry.example.com/postgresql} # here, the clients of this machine' >>with-databases.yaml
  fi
  generate -seed 1 -manifests installation "${secrets[@]}"
}

show_databases() {
  ! has backend-redis || run redis-cli -p "$redis_port" MGET stats/day:20261121 stats/day:20261122
  ! has system-database || run psql -c 'SELECT * FROM accounts ORDER BY id'
}

lose_databases() {
  ! has backend-redis || run redis-cli -p "$redis_port" FLUSHALL
  ! has system-database || run psql -c 'DROP TABLE accounts'
}

start_redis() {
  printf '%s\n' 'bind 127.0.0.1' 'save ""' 'appendonly no' "requirepass $password" >"$database_dir/redis.conf"
  serve redis redis-server redis.conf --port {}
  redis_port=$port
  export REDISCLI_AUTH=$password
}

start_postgresql() {
  local name
  echo "$password" >"$database_dir/password"
  (cd "$database_dir" && "${unprivileged[@]}" initdb --pgdata=data --username=threescale --pwfile=password --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --no-sync) >"$database_dir/initdb.log" 2>&1 || { cat "$database_dir/initdb.log" >&2; return 1; }
  serve postgresql postgres -D data -h 127.0.0.1 -p {} -c unix_socket_directories= -c fsync=off -c shared_buffers=16MB
  for name in "${!PG@}"; do unset "$name"; done
  export PGHOST=127.0.0.1 PGPORT=$port PGUSER=threescale PGPASSWORD=$password PGDATABASE=system PSQLRC=/dev/null
  psql --quiet --dbname=postgres --command='CREATE DATABASE system'
}

# serve starts a server on a port, $port, and returns when the server takes connections. In the command, {} stands for
# the port. That it is ours that answers there, its own log tells: nobody else's server is ever written to.
serve() {
  local log=$database_dir/$1.log
  shift
  for _ in {1..5}; do
    port=$((20000 + RANDOM % 10000))
    : >"$log"
    (cd "$database_dir" && exec "${unprivileged[@]}" "${@//\{\}/$port}") >"$log" 2>&1 &
    servers+=($!)
    for _ in {1..300}; do
      ! grep -qi 'ready to accept connections' "$log" || return 0
      kill -0 $! 2>/dev/null || { unset 'servers[-1]'; continue 2; } # the port may be somebody else's
      sleep 0.1
    done
    break
  done
  cat "$log" >&2
  return 1
}

# stop_servers ends all servers. After TERM, PostgreSQL waits for its clients; after INT it does not.
stop_servers() {
  if [ ${#servers[@]} -gt 0 ]; then
    kill "${servers[@]}" 2>/dev/null || true
    kill -INT "${servers[@]}" 2>/dev/null || true
    wait "${servers[@]}" 2>/dev/null || true
  fi
  rm -rf "$database_dir"
}
