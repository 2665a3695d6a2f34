#!/usr/bin/env bash
# A private RabbitMQ cluster of three nodes for tests: its own folder, ports, cookie and epmd; loopback only.
# Usage: rabbit_cluster.sh up DIR [OWNER]   makes DIR, starts the nodes, prints their ports; ends when process OWNER is gone
#        rabbit_cluster.sh start DIR N      starts node N again after a kill
#        rabbit_cluster.sh pid DIR N        prints the process id of node N
#        rabbit_cluster.sh ctl DIR N ARGS…  rabbitmqctl against node N
#        rabbit_cluster.sh remove DIR       stops the nodes and removes the folder
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
# Debian's wrapper in /usr/sbin would switch the user.
bin=/usr/lib/rabbitmq/bin

setup() { # environment of node $1
  local node=$dir/n$1
  . "$dir/ports"
  local amqp="amqp_$1" dist="dist_$1"
  export ERL_EPMD_PORT=$epmd_port ERL_EPMD_ADDRESS=127.0.0.1
  export HOME=$dir/home # the Erlang cookie lives there
  export RABBITMQ_NODENAME=c$1x$epmd_port@localhost RABBITMQ_DIST_PORT=${!dist}
  export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$node/rabbitmq.conf RABBITMQ_ADVANCED_CONFIG_FILE=$node/none
  export RABBITMQ_MNESIA_BASE=$node/mnesia RABBITMQ_LOG_BASE=$node/log RABBITMQ_PID_FILE=$node/rabbit.pid
  export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins
  # A node that does not answer for eight seconds is taken for dead.
  export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} -kernel net_ticktime 8 +S 1:1"
  export RABBITMQ_SCHEDULER_BIND_TYPE=u RUNNING_UNDER_SYSTEMD=
  port=${!amqp}
}

configure() {
  mkdir -p "$dir/home"
  echo $$ >"$dir/up.pid" # until the nodes are there
  [ -z "${watcher:-}" ] || echo "$watcher" >"$dir/watcher.pid"
  local n ports="epmd_port=$(free_port)"
  for n in 1 2 3; do ports+=" amqp_$n=$(free_port) dist_$n=$(free_port)"; done
  echo "$ports" >"$dir/ports"
  . "$dir/ports"
  head -c 24 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' >"$dir/home/.erlang.cookie"
  chmod 400 "$dir/home/.erlang.cookie"
  echo '[rabbitmq_consistent_hash_exchange].' >"$dir/enabled_plugins"
  for n in 1 2 3; do
    mkdir -p "$dir/n$n/mnesia" "$dir/n$n/log"
    local amqp="amqp_$n"
    cat >"$dir/n$n/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:${!amqp}
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = c1x$epmd_port@localhost
cluster_formation.classic_config.nodes.2 = c2x$epmd_port@localhost
cluster_formation.classic_config.nodes.3 = c3x$epmd_port@localhost
cluster_formation.randomized_startup_delay_range.min = 0
cluster_formation.randomized_startup_delay_range.max = 1
cluster_partition_handling = pause_minority
vm_memory_high_watermark.absolute = 1GiB
disk_free_limit.absolute = 50MB
log.console = false
CONF
  done
}

start() { # node $1
  setup "$1"
  rm -f "$RABBITMQ_PID_FILE"
  if ! { [ -f "$dir/epmd.pid" ] && alive "$(cat "$dir/epmd.pid")"; }; then
    setsid epmd -port "$epmd_port" -address 127.0.0.1 </dev/null >/dev/null 2>&1 &
    echo $! >"$dir/epmd.pid"
  fi
  setsid "$bin/rabbitmq-server" </dev/null >"$dir/n$1/log/out" 2>&1 &
  echo $! >"$dir/n$1/wrapper.pid"
}

ready() { # waits for node $1
  setup "$1"
  wait_port "$port" 120 "$(cat "$dir/n$1/wrapper.pid")" && return
  for file in "$dir/n$1"/log/*; do tail -n 30 "$file" >&2; done
  echo "rabbit_cluster.sh: node $1 did not start" >&2
  return 1
}

# The second and third find the first and join it.
bring_up() {
  (start 1) && (ready 1) && (start 2) && (start 3) && (ready 2) && (ready 3)
}

down() {
  local n file name
  for n in 1 2 3; do
    for name in rabbit wrapper; do
      file=$dir/n$n/$name.pid
      [ -f "$file" ] || continue
      kill -CONT "$(cat "$file")" 2>/dev/null || true
      stop "$(cat "$file")" KILL 5
    done
  done
  [ ! -f "$dir/epmd.pid" ] || stop "$(cat "$dir/epmd.pid")" TERM 2
}

end_watcher() {
  [ -f "$dir/watcher.pid" ] || return 0
  # It may be the one that runs this, or have become it.
  case "$(cat "$dir/watcher.pid")" in "$PPID" | "$$") return 0 ;; esac
  stop "$(cat "$dir/watcher.pid")" KILL 2
}

[ $# -ge 2 ] || { sed -n 3,7p "$0" >&2; exit 2; }
verb=$1 dir=$2
shift 2
case "$verb" in
  up)
    "$here/install.sh" rabbitmq-server
    # Before the nodes: who waits for them may be killed meanwhile.
    [ $# = 0 ] || when_gone "$1" "$here/rabbit_cluster.sh" remove "$dir"
    # Another test may take a port between the choice and the start.
    for attempt in 1 2; do
      configure
      if bring_up; then break; fi
      down
      [ "$attempt" != 2 ] || exit 1
      rm -rf "$dir"
    done
    rm -f "$dir/up.pid"
    for n in 1 2 3; do (setup $n && echo "$port"); done ;;
  start) (start "$1") && (ready "$1") ;;
  pid) cat "$dir/n$1/rabbit.pid" ;;
  ctl) setup "$1"; shift; exec "$bin/rabbitmqctl" -q "$@" ;;
  remove)
    # Its owner may have been killed before it was done: it would start more nodes.
    [ ! -f "$dir/up.pid" ] || stop "$(cat "$dir/up.pid")" KILL 2
    end_watcher
    down
    rm -rf "$dir" ;;
  *) sed -n 3,7p "$0" >&2; exit 2 ;;
esac
