#!/bin/sh
# Data is never removed with the package, not by a purge either: it is tenants'.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then
  for directory in /var/lib/aerodb /var/lib/aerodb-control /var/lib/aerodb-gateway; do
    [ ! -e "$directory" ] || echo "aerodb: $directory is kept; remove it by hand." >&2
  done
fi
