#!/usr/bin/env bash
# A private SSH server for tests that gives out files by SFTP and nothing else: its own folder, keys and port, loopback
# only, run by whoever calls this. One account, the caller's, by the key DIR/client.
# Usage: sshd.sh up DIR [OWNER]   makes DIR, starts the server, prints sftp://USER@127.0.0.1:PORT; ends when process OWNER is gone
#        sshd.sh remove DIR       stops it and removes the folder
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

start() {
  port=$(free_port)
  mkdir -p "$dir"
  chmod 700 "$dir"
  ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
  ssh-keygen -q -t ed25519 -N '' -f "$dir/client"
  cp "$dir/client.pub" "$dir/authorized"
  cat >"$dir/config" <<CONF
ListenAddress 127.0.0.1:$port
HostKey $dir/host
PidFile none
AuthorizedKeysFile $dir/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
ForceCommand internal-sftp
CONF
  # As root the server wants its folder for separated privileges.
  [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
  setsid /usr/sbin/sshd -D -e -f "$dir/config" </dev/null >"$dir/log" 2>&1 &
  echo $! >"$dir/sshd.pid"
  wait_port "$port" 10 "$(cat "$dir/sshd.pid")" || {
    tail -n 20 "$dir/log" >&2
    echo "sshd.sh: the server did not start" >&2
    exit 1
  }
}

down() {
  [ -f "$dir/sshd.pid" ] && stop "$(cat "$dir/sshd.pid")" TERM 5
  [ -f "$dir/watcher.pid" ] && [ "$(cat "$dir/watcher.pid")" != "${BASHPID:-}" ] && stop "$(cat "$dir/watcher.pid")" TERM 2
  return 0
}

[ $# -ge 2 ] || { sed -n 4,5p "$0" >&2; exit 2; }
verb=$1 dir=$2
shift 2
case "$verb" in
  up)
    "$here/install.sh" openssh-server
    start
    if [ $# -gt 0 ]; then
      when_gone "$1" "$here/sshd.sh" remove "$dir"
      echo "$watcher" >"$dir/watcher.pid"
    fi
    echo "sftp://$(id -un)@127.0.0.1:$port" ;;
  remove) down; rm -rf "$dir" ;;
  *) sed -n 4,5p "$0" >&2; exit 2 ;;
esac
