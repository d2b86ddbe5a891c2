#!/bin/sh
# The command line of an installed package, on the runtime that came with it.
exec /opt/aerodb/node_modules/node/bin/node --disable-warning=ExperimentalWarning \
  /opt/aerodb/cli/bin/aerodb.mjs "$@"
