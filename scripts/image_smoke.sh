#!/usr/bin/env bash
# The final layer of the image without a container engine: its tree is laid out from a program that is given, and run as a
# chroot with a read-only root by a user without rights. Needs root, for mounts within a mount namespace of its own.
# Usage: image_smoke.sh [PROGRAM]        otherwise CIVILHUB_BIN, otherwise what cargo builds
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ "${1:-}" != --inside ]; then
  program=${1:-${CIVILHUB_BIN:-}}
  if [ -z "$program" ]; then
    (cd "$here/.." && cargo build --quiet --bin civilhub)
    program=${CARGO_TARGET_DIR:-$here/../target}/debug/civilhub
  fi
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || { echo "image_smoke.sh: needs root, to mount a read-only root (no sudo here)" >&2; exit 1; }
    as_root=(sudo -n)
  fi
  work=$(mktemp -d)
  trap '"${as_root[@]}" rm -rf "$work"' EXIT
  "${as_root[@]}" "$here/image_tree.sh" "$program" "$work/image"
  # Mounts end with the namespace, whatever happens.
  "${as_root[@]}" unshare --mount --propagation private "$0" --inside "$work/image"
  exit
fi

# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
tree=$2
fail() { echo "image_smoke.sh: $*" >&2; exit 1; }
step() { printf '%4ds  %s\n' "$SECONDS" "$*" >&2; }

step "the tree: $(du -sh "$tree" | cut -f1), the program $(du -h "$tree/usr/bin/civilhub" | cut -f1), $(find "$tree" -name '*.so*' | wc -l) libraries"
programs=$(find "$tree" -type f -perm /111 ! -name '*.so*' -printf '/%P\n')
[ "$programs" = /usr/bin/civilhub ] || fail "more than one program: $programs"
odd=$(find "$tree" \( -perm /6000 -o -type l -o -type f -perm /022 \) -printf '/%P\n')
[ -z "$odd" ] || fail "setuid, links, or files that others may write: $odd"
open=$(find "$tree" -type d -perm /002 -printf '/%P\n')
[ "$open" = /tmp ] || fail "folders that everybody may write: $open"
if grep -rlE 'PRIVATE KEY-----|wh(sec|sk)_[A-Za-z0-9+/]{16}' "$tree/usr/share" "$tree/etc"; then fail "a secret is in the image"; fi

mkdir -p "$tree/proc" "$tree/dev"
mount --bind "$tree" "$tree"
mount -t tmpfs -o size=16m tmpfs "$tree/dev"
for device in null zero random urandom; do
  touch "$tree/dev/$device"
  mount --bind "/dev/$device" "$tree/dev/$device"
done
mount -t proc proc "$tree/proc"
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$tree/tmp"
mount -t tmpfs -o size=2g,uid=10001,gid=10001 tmpfs "$tree/var/lib/civilhub"
mount -o remount,ro,bind "$tree"

# As the runtime starts it: user, folder and variables of the Dockerfile, nothing else.
inside=(unshare --root "$tree" --wd /usr/share/civilhub --setgid 10001 --setuid 10001 /usr/bin/civilhub)
variables=()
image() { env -i CIVILHUB__HUB__DATA=/var/lib/civilhub "${variables[@]}" "${inside[@]}" "$@"; }

step "--version"
image --version
step "check"
image check
step "the root is read-only, the data folder is not"
variables=(CIVILHUB__STORE__URL=sqlite:///usr/share/civilhub/hub.db)
if image migrate 2>/dev/null; then fail "the root could be written"; fi
variables=()
image migrate

step "serve: ready, then a drain after SIGTERM"
port=$(free_port)
variables=("CIVILHUB__HTTP__LISTEN=127.0.0.1:$port" CIVILHUB__HUB__SYSTEMS=funeral CIVILHUB__PATHS__PARTNERS=/etc/civilhub/partners CIVILHUB__LOG__FORMAT=json)
log=$(mktemp)
# exec: the id of the job is the id of the program.
(exec env -i CIVILHUB__HUB__DATA=/var/lib/civilhub "${variables[@]}" "${inside[@]}" serve) 2>"$log" &
hub=$!
trap 'stop "$hub" KILL 1; rm -f "$log"' EXIT
wait_port "$port" 60 "$hub" || { cat "$log" >&2; fail "serve does not listen"; }
[ "$(awk '/^Uid:/ { print $2 }' "/proc/$hub/status")" = 10001 ] || fail "the hub runs as another user"
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /readyz HTTP/1.0\r\nHost: x\r\n\r\n' >&3
answer=$(cat <&3)
exec 3>&-
case "$answer" in "HTTP/1.0 200"* | "HTTP/1.1 200"*) ;; *) fail "not ready: $answer" ;; esac
kill -TERM "$hub"
began=$SECONDS
code=0
wait "$hub" || code=$?
[ "$code" = 0 ] || { cat "$log" >&2; fail "it ended with $code"; }
grep -q 'the hub is stopping' "$log" || fail "it does not say that it drains"
echo "drained in $((SECONDS - began)) s"

step "sandbox: a province of invented people"
variables=(CIVILHUB__HUB__DATA=/var/lib/civilhub/sandbox CIVILHUB__LOG__LEVEL=error)
image demo --once --persons "${CIVILHUB_PERSONS:-100}" >"$log" 2>&1 || { tail -20 "$log" >&2; fail "the sandbox failed"; }
step "the image is good"
