#!/usr/bin/env bash
# Prints SQL that counts, for each text column of a database, the rows that
# still hold a domain. It changes nothing.
#
#   ./inventory.sh mysql      DOMAIN | mysql -N DATABASE
#   ./inventory.sh postgresql DOMAIN | psql -q -v ON_ERROR_STOP=1 DATABASE
#
# It reads each text column of each table: minutes on a large database.
# Tried: MariaDB 10.11 and PostgreSQL 15, by the tests in test/databases.
# Not tried: MySQL 8, Oracle.
set -euo pipefail

LC_ALL=C
if [ $# -ne 2 ] || [[ ! $2 =~ ^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$ ]]; then
  echo 'usage: inventory.sh mysql|postgresql DOMAIN (in lower case)' >&2
  exit 2
fi

case $1 in
mysql)
  cat <<SQL
SET SESSION group_concat_max_len = 10000000;
SELECT CONCAT('SELECT * FROM (', GROUP_CONCAT(CONCAT('SELECT ''', c.table_name, '.', c.column_name, ''' AS place, COUNT(*) AS n FROM \`',
  c.table_name, '\` WHERE \`', c.column_name, '\` LIKE ''%$2%''') SEPARATOR ' UNION ALL '), ') AS found WHERE n > 0 ORDER BY place') INTO @inventory
  FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
  WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND c.data_type IN ('varchar', 'text', 'mediumtext', 'longtext');
PREPARE inventory FROM @inventory;
EXECUTE inventory;
SQL
  ;;
postgresql)
  cat <<SQL
\\pset format unaligned
\\pset tuples_only on
SELECT 'SELECT * FROM (' || string_agg(format('SELECT %L AS place, count(*) AS n FROM %I WHERE %I LIKE %L',
  c.table_name || '.' || c.column_name, c.table_name, c.column_name, '%$2%'), ' UNION ALL ') || ') AS found WHERE n > 0 ORDER BY place'
  FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
  WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' AND c.data_type IN ('character varying', 'text') \\gexec
SQL
  ;;
*)
  echo "inventory.sh: mysql or postgresql, not $1" >&2
  exit 2
  ;;
esac
