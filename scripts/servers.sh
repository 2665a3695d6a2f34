#!/usr/bin/env bash
# RabbitMQ, PostgreSQL and MariaDB for the tests, in a folder of their own.
# Usage: servers.sh up      starts all and prints the variables to export: eval "$(scripts/servers.sh up)"
#        servers.sh env     prints them again
#        servers.sh down    stops all and removes the folder
# The folder is CIVILHUB_SERVERS, or civilhub-servers-<user> among the temporary files.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=${CIVILHUB_SERVERS:-${TMPDIR:-/tmp}/civilhub-servers-$(id -u)}

down() {
  [ -d "$base/rabbit" ] && "$here/rabbit.sh" down "$base/rabbit"
  [ -d "$base/postgres" ] && "$here/postgres.sh" down "$base/postgres"
  [ -d "$base/mariadb" ] && "$here/mariadb.sh" down "$base/mariadb"
  rm -rf "$base"
}

case "${1:-}" in
  up)
    if [ -f "$base/env" ]; then cat "$base/env"; exit; fi
    trap 'down' ERR INT TERM
    mkdir -p "$base"
    chmod 711 "$base"
    # The one takes the other's waiting time.
    "$here/install.sh" rabbitmq-server postgresql mariadb-server
    "$here/postgres.sh" up "$base/postgres" >"$base/postgres.url" &
    postgres=$!
    "$here/mariadb.sh" up "$base/mariadb" >"$base/mariadb.url" &
    mariadb=$!
    amqp=$("$here/rabbit.sh" up "$base/rabbit")
    wait "$postgres"
    wait "$mariadb"
    printf 'export CIVILHUB_TEST_AMQP=%q\nexport CIVILHUB_TEST_PG=%q\nexport CIVILHUB_TEST_MYSQL=%q\n' \
      "$amqp" "$(cat "$base/postgres.url")" "$(cat "$base/mariadb.url")" >"$base/env"
    cat "$base/env" ;;
  env) cat "$base/env" ;;
  down) down ;;
  *) sed -n 3,6p "$0" >&2; exit 2 ;;
esac
