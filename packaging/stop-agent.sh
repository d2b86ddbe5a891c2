#!/bin/sh
# Stops the agent, whose process id is given. While the machine goes down it stops its Postgres servers
# too (SIGINT): left alone, they would be killed by the end of it and have to recover. At any other time
# (an upgrade, a restart) they go on serving, and the next agent adopts them (SIGTERM).
pid=$1
if [ "$(systemctl is-system-running 2>/dev/null)" = stopping ]; then kill -INT "$pid"; else kill -TERM "$pid"; fi
# Until it has ended: systemd would send a signal of its own, and a second one is an order to end at once.
while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
