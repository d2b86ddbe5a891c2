#!/bin/sh
# Removing the package stops its pieces, but no Postgres server: those hold tenants' data and sessions.
set -e
[ "$1" = remove ] || exit 0
[ -d /run/systemd/system ] || exit 0
systemctl disable --now aerodb-gateway.service aerodb-agent.service aerodb-control.service || true
if pgrep -f '^[^ ]*postgres -D /var/lib/aerodb/' >/dev/null 2>&1; then
  echo "aerodb: Postgres servers of tenants still run on this host; stop them by hand." >&2
fi
