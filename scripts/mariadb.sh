#!/usr/bin/env bash
# A private MariaDB for tests: its own folder and port, loopback only; nothing under /etc or /var/lib.
# Usage: mariadb.sh up DIR [OWNER]   makes DIR, starts the server, prints its URL; ends when process OWNER is gone
#        mariadb.sh pid DIR           prints the process id
#        mariadb.sh down DIR          stops it; the folder stays
#        mariadb.sh remove DIR        stops it and removes the folder
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

# MariaDB refuses to run as root.
as_mysql() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u mysql -- "$@"); else "$@"; fi
}

configure() {
  port=$(free_port)
  mkdir -p "$dir/data"
  echo "port=$port" >"$dir/ports"
  if [ "$(id -u)" = 0 ]; then
    chmod 711 "$dir"
    chown mysql: "$dir/data"
  fi
  cat >"$dir/my.cnf" <<CONF
[mariadbd]
datadir = $dir/data
socket = $dir/data/socket
pid-file = $dir/data/pid
port = $port
bind-address = 127.0.0.1
skip-name-resolve
innodb_buffer_pool_size = 64M
performance_schema = OFF
# What legacy systems have: zero dates are kept.
sql_mode = ''
CONF
  # The account may make databases and accounts of its own for each test.
  cat >"$dir/init.sql" <<SQL
CREATE DATABASE IF NOT EXISTS hub;
CREATE USER IF NOT EXISTS hub@'127.0.0.1';
GRANT ALL ON *.* TO hub@'127.0.0.1' WITH GRANT OPTION;
SQL
  as_mysql mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal \
    --skip-test-db >"$dir/install.log" 2>&1 || { tail -n 40 "$dir/install.log" >&2; exit 1; }
}

start() {
  local program
  program=$(command -v mariadbd || echo /usr/sbin/mariadbd)
  local arguments=("--defaults-file=$dir/my.cnf" "--init-file=$dir/init.sql")
  if [ "$(id -u)" = 0 ]; then
    (cd / && exec setsid setpriv --reuid=mysql --regid=mysql --init-groups "$program" "${arguments[@]}") </dev/null >>"$dir/log" 2>&1 &
  else
    setsid "$program" "${arguments[@]}" </dev/null >>"$dir/log" 2>&1 &
  fi
  local server=$!
  echo "$server" >"$dir/mariadb.pid"
  # The port opens after the init file has run.
  wait_port "$port" 60 "$server" || {
    tail -n 40 "$dir/log" >&2
    echo "mariadb.sh: the server did not start" >&2
    exit 1
  }
}

down() {
  [ -f "$dir/mariadb.pid" ] && stop "$(cat "$dir/mariadb.pid")" TERM 15
  [ -f "$dir/watcher.pid" ] && [ "$(cat "$dir/watcher.pid")" != "${BASHPID:-}" ] && stop "$(cat "$dir/watcher.pid")" TERM 2
  return 0
}

[ $# -ge 2 ] || { sed -n 3,6p "$0" >&2; exit 2; }
verb=$1 dir=$2
shift 2
case "$verb" in
  up)
    "$here/install.sh" mariadb-server
    configure
    start
    if [ $# -gt 0 ]; then
      when_gone "$1" "$here/mariadb.sh" remove "$dir"
      echo "$watcher" >"$dir/watcher.pid"
    fi
    echo "mariadb://hub@127.0.0.1:$port/hub" ;;
  pid) cat "$dir/mariadb.pid" ;;
  down) down ;;
  remove) down; rm -rf "$dir" ;;
  *) sed -n 3,6p "$0" >&2; exit 2 ;;
esac
