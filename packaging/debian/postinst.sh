#!/bin/sh
# Nothing is enabled, started or made: what a machine is to run is its operator's to say. Pieces that run
# already are replaced by the new version; Postgres servers go on and are adopted.
set -e
[ "$1" = configure ] || exit 0
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ -n "$2" ]; then
  systemctl try-restart aerodb-control.service aerodb-gateway.service aerodb-agent.service || true
fi
