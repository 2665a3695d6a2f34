# Shared by the server scripts; sourced, not run.

# A free odd port below the range that the kernel hands out by itself.
free_port() {
  local port
  RANDOM=$((BASHPID * 7919 ^ $(date +%N | sed 's/^0*//')))
  for _ in $(seq 100); do
    port=$((20001 + 2 * (RANDOM % 6000)))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo "no free port" >&2
  return 1
}

# Waits up to $2 seconds until something listens on port $1, as long as process $3 lives.
wait_port() {
  for _ in $(seq $(($2 * 5))); do
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    alive "$3" || return 1
    sleep 0.2
  done
  return 1
}

# A zombie does not count as alive.
alive() {
  case "$(ps -o stat= -p "$1" 2>/dev/null)" in "" | Z*) return 1 ;; esac
}

# Stops process $1 with signal $2, after $3 seconds with KILL.
stop() {
  alive "$1" || return 0
  kill "-$2" "$1" 2>/dev/null || return 0
  for _ in $(seq $(($3 * 10))); do
    alive "$1" || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
}

# Runs "$@" when process $1 is gone: a test that is killed must not leave servers behind.
when_gone() {
  local owner=$1
  shift
  (
    trap '' HUP INT
    while alive "$owner"; do sleep 2; done
    "$@"
  ) </dev/null >/dev/null 2>&1 &
  watcher=$!
}
