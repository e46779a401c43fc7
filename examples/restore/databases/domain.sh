#!/usr/bin/env bash
# Prints SQL that moves System's database to another wildcard domain: one
# transaction, for the restored copy of the database.
#
#   domain.sh mysql|postgresql OLD NEW TENANT
#
# OLD and NEW are wildcard domains, for example apps.example.com; TENANT is
# spec.tenantName of the APIManager, `3scale` by default.
#
# When: after the database is restored, before the restore of the installation
# is applied (no system-app and no system-sidekiq may run on this database).
# How:
#
#   ./domain.sh mysql      OLD NEW TENANT | mysql DATABASE
#   ./domain.sh postgresql OLD NEW TENANT | psql -v ON_ERROR_STOP=1 DATABASE
#
# What it changes: hosts that end in .OLD, and nothing else.
# - accounts: domain and self_domain, the portals of the tenants and of master.
# - proxies: endpoint, sandbox_endpoint, production_domain and staging_domain.
# - proxy_configs: what APIcast serves. In each promoted configuration, the
#   product's own two hosts and Backend's public host (backend-TENANT.OLD).
# Custom domains stay. Upstream APIs stay too, even below OLD: whether a copy
# may call them is for you to decide. inventory.sh counts what still holds OLD.
#
# Running it twice does no harm. If a new name is already taken or is too long,
# the transaction fails and changes nothing.
#
# Tried: MariaDB 10.11 and PostgreSQL 15 with porta's own tables, by the tests
# in test/databases. Not tried: MySQL 8, Oracle, porta itself on the result.
set -euo pipefail

usage() {
  echo "domain.sh: $1" >&2
  echo 'usage: domain.sh mysql|postgresql OLD NEW TENANT' >&2
  exit 2
}

[ $# -eq 4 ] || usage 'four arguments are needed'
kind=$1 old=$2 new=$3 tenant=$4

# Lower-case DNS names hold no character that means anything in SQL or LIKE.
LC_ALL=C
label='[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?'
for name in "$old" "$new"; do
  [[ $name =~ ^$label(\.$label)+$ && ${#name} -le 253 ]] || usage "not a domain name in lower case with at least one dot: $name"
done
[[ $tenant =~ ^$label$ ]] || usage "not a DNS label in lower case: $tenant"
[ "$old" != "$new" ] || usage 'OLD and NEW are the same'

# part_of COLUMN SEPARATOR N prints the expression for the Nth part of a column.
case $kind in
mysql) part_of() { echo "SUBSTRING_INDEX(SUBSTRING_INDEX($1, '$2', $3), '$2', -1)"; } ;;
postgresql) part_of() { echo "SPLIT_PART($1, '$2', $3)"; } ;;
*) usage "mysql or postgresql, not $kind" ;;
esac

# moved HOST prints the expression for a host with the new ending.
moved() { echo "CONCAT(LEFT($1, CHAR_LENGTH($1) - ${#old}), '$new')"; }

# concerned HOST prints the condition that a host is to be moved. Where NEW is
# itself below OLD, hosts that have been moved already are left alone.
concerned() {
  case $new in
  *".$old") echo "$1 LIKE '%.$old' AND $1 NOT LIKE '%.$new'" ;;
  *) echo "$1 LIKE '%.$old'" ;;
  esac
}

# in_content HOST NEWHOST prints the expression for a configuration in which a
# host is replaced where it stands alone or in a URL, not where a longer name
# only begins or ends with it.
in_content() {
  local expression=content pair
  for pair in "'\"' '\"'" "'//' ':'" "'//' '/'" "'//' '\"'"; do
    # shellcheck disable=SC2086 # two words
    set -- "$1" "$2" $pair
    expression="REPLACE($expression, CONCAT($3, $1, $4), CONCAT($3, $2, $4))"
  done
  echo "$expression"
}

echo "-- System's database from $old to $new, by domain.sh ($kind)"
if [ "$kind" = postgresql ]; then
  echo '\set ON_ERROR_STOP on'
else
  echo "-- A name that is too long shall fail, and not be cut."
  echo "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES');"
fi
echo 'START TRANSACTION;'

for column in accounts.domain accounts.self_domain proxies.production_domain proxies.staging_domain; do
  host=${column#*.}
  echo "UPDATE ${column%.*} SET $host = $(moved "$host") WHERE $(concerned "$host");"
done

# https://host:port/path: the host is the third part by slashes, without its port.
for column in endpoint sandbox_endpoint; do
  host=$(part_of "$(part_of $column / 3)" : 1)
  echo "UPDATE proxies SET $column = REPLACE($column, CONCAT('//', $host), CONCAT('//', $(moved "$host"))) WHERE $(concerned "$host");"
done

# hosts is |production|staging|, or NULL. MySQL assigns from left to right: content first.
for n in 2 3; do
  host=$(part_of hosts '|' $n)
  echo "UPDATE proxy_configs SET content = $(in_content "$host" "$(moved "$host")"),"
  echo "  hosts = REPLACE(hosts, CONCAT('|', $host, '|'), CONCAT('|', $(moved "$host"), '|')) WHERE $(concerned "$host");"
done
backend="backend-$tenant"
echo "UPDATE proxy_configs SET content = $(in_content "'$backend.$old'" "'$backend.$new'") WHERE content LIKE '%$backend.$old%';"
echo 'COMMIT;'
