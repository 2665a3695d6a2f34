#!/usr/bin/env bash
# Lays out everything that the image holds: the program, the libraries it is linked with, authorities, and the files of the
# product. No shell, no package manager. The Dockerfile and the smoke test use it alike.
# Usage: image_tree.sh PROGRAM FOLDER        the folder must not exist
set -euo pipefail
program=$(realpath "$1")
mkdir "$2"
tree=$(cd "$2" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
user=10001

install -D -m 755 "$program" "$tree/usr/bin/civilhub"
# Line tables are for developers; what a panic prints needs none.
strip --strip-debug "$tree/usr/bin/civilhub"

# `ldd` prints "name => /path (address)", and the loader as "/path (address)".
ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
  install -D -m 755 "$library" "$tree$library"
done

authorities=/etc/ssl/certs/ca-certificates.crt
[ -s "$authorities" ] || { echo "image_tree.sh: no $authorities: install the package ca-certificates" >&2; exit 1; }
install -D -m 644 "$authorities" "$tree$authorities"
printf 'root:x:0:0:root:/:/nologin\ncivilhub:x:%s:%s:civilhub:/var/lib/civilhub:/nologin\n' $user $user >"$tree/etc/passwd"
printf 'root:x:0:\ncivilhub:x:%s:\n' $user >"$tree/etc/group"
printf 'hosts: files dns\n' >"$tree/etc/nsswitch.conf"

# Golden samples and examples are for those who change adapters and schemas.
share=$tree/usr/share/civilhub
mkdir -p "$share"
tar c --exclude=samples --exclude=examples adapters schemas config | tar x -C "$share" --no-same-owner
find "$share" -type d -exec chmod 755 {} +
find "$share" -type f -exec chmod 644 {} +

# Where volumes are mounted.
mkdir -p "$tree/etc/civilhub/config" "$tree/etc/civilhub/partners" "$tree/run/secrets/civilhub" "$tree/var/lib/civilhub"
mkdir -m 1777 "$tree/tmp"
[ "$(id -u)" != 0 ] || { chown -R 0:0 "$tree"; chown $user:$user "$tree/var/lib/civilhub"; }
