#!/usr/bin/env bash
# A private RabbitMQ for tests: its own folder, ports and epmd; loopback only; nothing under /etc or /var/lib.
# Usage: rabbit.sh up DIR [OWNER]   makes DIR, starts the server, prints its URL; ends when process OWNER is gone
#        rabbit.sh start DIR        starts it again after a kill
#        rabbit.sh pid DIR          prints the process id
#        rabbit.sh ctl DIR ARGS...  rabbitmqctl against it
#        rabbit.sh down DIR         stops it; the folder stays with its logs
#        rabbit.sh remove DIR       stops it and removes the folder
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
# Debian's wrapper in /usr/sbin would switch the user.
bin=/usr/lib/rabbitmq/bin

setup() { # environment of the server in DIR
  . "$dir/ports"
  export ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1
  export HOME=$dir/home # the Erlang cookie lives there
  export RABBITMQ_NODENAME=civilhub$amqp_port@localhost RABBITMQ_DIST_PORT=$dist_port
  export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf RABBITMQ_ADVANCED_CONFIG_FILE=$dir/none
  export RABBITMQ_MNESIA_BASE=$dir/mnesia RABBITMQ_LOG_BASE=$dir/log RABBITMQ_PID_FILE=$dir/rabbit.pid
  export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
  # Two schedulers and a node that gives its core away when idle: the machine runs the tests as well.
  export RABBITMQ_SCHEDULER_BIND_TYPE=u RUNNING_UNDER_SYSTEMD=
}

configure() {
  mkdir -p "$dir/home" "$dir/mnesia" "$dir/log"
  printf 'amqp_port=%s dist_port=%s epmd_port=%s\n' "$(free_port)" "$(free_port)" "$(free_port)" >"$dir/ports"
  . "$dir/ports"
  head -c 24 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' >"$dir/home/.erlang.cookie"
  chmod 400 "$dir/home/.erlang.cookie"
  echo '[rabbitmq_consistent_hash_exchange].' >"$dir/enabled_plugins"
  cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$amqp_port
vm_memory_high_watermark.absolute = 1GiB
disk_free_limit.absolute = 50MB
log.console = false
CONF
}

start() {
  setup
  rm -f "$RABBITMQ_PID_FILE"
  # Erlang would start an epmd that outlives the server; this one is ours to stop.
  if ! { [ -f "$dir/epmd.pid" ] && alive "$(cat "$dir/epmd.pid")"; }; then
    setsid epmd -port "$epmd_port" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
    echo $! >"$dir/epmd.pid"
  fi
  setsid "$bin/rabbitmq-server" </dev/null >"$dir/log/out" 2>&1 &
  local server=$!
  echo "$server" >"$dir/wrapper.pid"
  wait_port "$amqp_port" 120 "$server" || { tail -n 40 "$dir"/log/* >&2; echo "rabbit.sh: the server did not start" >&2; down; exit 1; }
}

down() {
  if [ -f "$dir/rabbit.pid" ]; then
    kill -CONT "$(cat "$dir/rabbit.pid")" 2>/dev/null || true
    stop "$(cat "$dir/rabbit.pid")" TERM 15
  fi
  for name in wrapper epmd watcher; do
    [ -f "$dir/$name.pid" ] && [ "$(cat "$dir/$name.pid")" != "${BASHPID:-}" ] && stop "$(cat "$dir/$name.pid")" TERM 2
  done
  return 0
}

[ $# -ge 2 ] || { sed -n 3,8p "$0" >&2; exit 2; }
verb=$1 dir=$2
shift 2
case "$verb" in
  up)
    "$here/install.sh" rabbitmq-server
    configure
    start
    if [ $# -gt 0 ]; then
      when_gone "$1" "$here/rabbit.sh" remove "$dir"
      echo "$watcher" >"$dir/watcher.pid"
    fi
    echo "amqp://guest:guest@127.0.0.1:$amqp_port/%2f" ;;
  start) start ;;
  pid) cat "$dir/rabbit.pid" ;;
  ctl) setup; exec "$bin/rabbitmqctl" -q "$@" ;;
  down) down ;;
  remove) down; rm -rf "$dir" ;;
  *) sed -n 3,8p "$0" >&2; exit 2 ;;
esac
