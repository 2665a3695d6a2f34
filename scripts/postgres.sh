#!/usr/bin/env bash
# A private PostgreSQL for tests: its own folder and port, loopback only, with fsync as in production.
# Usage: postgres.sh up DIR [OWNER]   makes DIR, starts the server, prints its URL; ends when process OWNER is gone
#        postgres.sh start DIR        starts it again after a kill
#        postgres.sh kill DIR         kills it without a chance to tidy up
#        postgres.sh pid DIR          prints the process id
#        postgres.sh database URL NAME  makes a database on the server of URL, prints its URL
#        postgres.sh down DIR         stops it; the folder stays
#        postgres.sh remove DIR       stops it and removes the folder
#        postgres.sh standby DIR OF [OWNER]  makes DIR a standby of the server in OF, which from then on waits for it at every commit; prints its URL
#        postgres.sh promote DIR      makes a standby the primary
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

# PostgreSQL refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

configure() {
  port=$(free_port)
  mkdir -p "$dir"
  echo "port=$port" >"$dir/ports"
  mkdir -p "$dir/data"
  if [ "$(id -u)" = 0 ]; then
    chmod 711 "$dir"
    chown postgres: "$dir/data"
  fi
  as_postgres "$bin/initdb" -D "$dir/data" -A trust -U postgres --no-locale -E UTF8 >/dev/null
  as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null <<CONF
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 128MB
max_connections = 200
CONF
}

launch() {
  if [ "$(id -u)" = 0 ]; then
    (cd / && exec setsid setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$dir/data") </dev/null >>"$dir/log" 2>&1 &
  else
    setsid "$bin/postgres" -D "$dir/data" </dev/null >>"$dir/log" 2>&1 &
  fi
  server=$!
  echo "$server" >"$dir/postgres.pid"
}

start() {
  local server
  . "$dir/ports"
  # A killed server leaves its lock file; whether it is gone is known here better than from a process id that was used again.
  [ -f "$dir/postgres.pid" ] && ! alive "$(cat "$dir/postgres.pid")" && rm -f "$dir/data/postmaster.pid"
  launch
  for _ in $(seq 150); do
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" -t 1 && return
    if ! alive "$server"; then
      # A child of the one that was killed may live for a moment longer, with its memory.
      tail -n 3 "$dir/log" | grep -q 'is still in use' || break
      launch
    fi
    sleep 0.2
  done
  tail -n 40 "$dir/log" >&2
  echo "postgres.sh: the server did not start" >&2
  exit 1
}

kill_all() {
  local server children
  server=$(cat "$dir/postgres.pid")
  children=$(ps -o pid= --ppid "$server" || true)
  kill -KILL "$server" $children 2>/dev/null || true
  for _ in $(seq 100); do
    alive "$server" || return 0
    sleep 0.1
  done
}

down() {
  [ -f "$dir/postgres.pid" ] && stop "$(cat "$dir/postgres.pid")" INT 10
  [ -f "$dir/watcher.pid" ] && [ "$(cat "$dir/watcher.pid")" != "${BASHPID:-}" ] && stop "$(cat "$dir/watcher.pid")" TERM 2
  return 0
}

[ $# -ge 2 ] || { sed -n 3,11p "$0" >&2; exit 2; }
verb=$1 dir=$2
shift 2
[ "$verb" != up ] || "$here/install.sh" postgresql
bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
case "$verb" in
  up)
    configure
    start
    "$bin/createdb" -h 127.0.0.1 -p "$port" -U postgres hub
    if [ $# -gt 0 ]; then
      when_gone "$1" "$here/postgres.sh" remove "$dir"
      echo "$watcher" >"$dir/watcher.pid"
    fi
    echo "postgres://postgres@127.0.0.1:$port/hub" ;;
  standby)
    . "$1/ports"
    primary=$port
    port=$(free_port)
    mkdir -p "$dir/data"
    echo "port=$port" >"$dir/ports"
    if [ "$(id -u)" = 0 ]; then chmod 711 "$dir"; chown postgres: "$dir/data"; fi
    chmod 700 "$dir/data"
    as_postgres "$bin/pg_basebackup" -h 127.0.0.1 -p "$primary" -U postgres -D "$dir/data" -R -X stream -c fast
    # The last of two lines holds.
    echo "port = $port" | as_postgres tee -a "$dir/data/postgresql.conf" >/dev/null
    start
    "$bin/psql" -q -h 127.0.0.1 -p "$primary" -U postgres -d postgres -v ON_ERROR_STOP=1 \
      -c "ALTER SYSTEM SET synchronous_standby_names = '*'" -c 'SELECT pg_reload_conf()' >/dev/null
    if [ $# -gt 1 ]; then
      when_gone "$2" "$here/postgres.sh" remove "$dir"
      echo "$watcher" >"$dir/watcher.pid"
    fi
    echo "postgres://postgres@127.0.0.1:$port/hub" ;;
  promote)
    . "$dir/ports"
    # It has no standby of its own to wait for.
    "$bin/psql" -q -h 127.0.0.1 -p "$port" -U postgres -d postgres -v ON_ERROR_STOP=1 -c 'SELECT pg_promote()' >/dev/null
    "$bin/psql" -q -h 127.0.0.1 -p "$port" -U postgres -d postgres -v ON_ERROR_STOP=1 \
      -c "ALTER SYSTEM SET synchronous_standby_names = ''" -c 'SELECT pg_reload_conf()' >/dev/null ;;
  start) start ;;
  kill) kill_all ;;
  pid) cat "$dir/postgres.pid" ;;
  down) down ;;
  database)
    "$bin/psql" -q -v ON_ERROR_STOP=1 "$dir" -c "CREATE DATABASE $1"
    echo "${dir%/*}/$1" ;;
  remove) down; rm -rf "$dir" ;;
  *) sed -n 3,11p "$0" >&2; exit 2 ;;
esac
