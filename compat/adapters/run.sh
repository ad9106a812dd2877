#!/usr/bin/env bash
# Adapters written for Redis against a node's Redis door: @keyv/redis under @keyv/test-suite, connect-redis, rate-limiter-flexible, unstorage.
# Installs them beside this file first (they are no dependencies of the project), then starts a three-node cluster and runs them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ -d "$here/node_modules" ] || (cd "$here" && npm install --no-audit --no-fund)
state=$(mktemp -d)
main="$root/dist/src/cli/main.js"
trap 'node "$main" cluster stop --state "$state" >/dev/null' EXIT
node "$main" cluster start --nodes 3 --port 0 --redis-port 0 --state "$state" --detach --log-level warn --json >"$state/ready.json"
REDIS_ADDRESS=$(sed -n 's/.*"redisAddress":"\([0-9.:]*\)".*/\1/p' "$state/ready.json" | tail -1)
export REDIS_ADDRESS
cd "$here" && npx vitest run --root "$here" --config "$here/vitest.config.mjs"
