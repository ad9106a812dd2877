#!/usr/bin/env bash
# Runs Redis' own test suite (BSD-3, from Debian's source package, kept outside of this repository) against a node's Redis door, in
# external mode, and prints per unit how many tests passed and which did not. Needs tclsh, apt-get with a way to Debian, and a built dist.
#
# usage: test/redis-suite/run.sh [--plain] [UNIT ...]      (default: unit/type/string unit/expire unit/type/incr)
# Seven tests of these units begin with a key that holds a list or a set, which the door has no commands for. Such keys are stored through the
# SDK, as arrays, by a proxy (fixtures.ts) that passes every other request on as it is. With --plain there is no proxy, and those tests fail.
# Where the suite cannot be fetched it says so and exits with 77.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
fixtures=1
[ "${1:-}" != --plain ] || { fixtures=; shift; }
units=("$@")
[ ${#units[@]} -gt 0 ] || units=(unit/type/string unit/expire unit/type/incr)
work=${REDIS_SUITE_DIR:-${TMPDIR:-/tmp}/ringhold-redis-suite}
mkdir -p "$work"

skip() {
  echo "skipped: $*"
  exit 77
}

# The source package comes from where this machine's packages come from.
fetch() {
  local apt="$work/apt" file
  rm -rf "$apt/parts"
  mkdir -p "$apt/lists/partial" "$apt/parts"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$apt/parts/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/$(basename "$file")"
  done
  local options=(-qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/parts"
    -o "Dir::State::Lists=$apt/lists" -o Dir::Cache::srcpkgcache= -o Dir::Cache::pkgcache= -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update && (cd "$work" && apt-get "${options[@]}" source --download-only redis)
}

command -v tclsh >/dev/null || skip "tclsh is not installed (apt-get install tcl)"
if ! ls "$work"/redis_7.0.*.orig.tar.gz >/dev/null 2>&1; then
  command -v apt-get >/dev/null || skip "there is no apt-get to fetch Redis' source package with"
  fetch >"$work/apt.log" 2>&1 || skip "Redis' source package cannot be fetched (see $work/apt.log)"
fi
suite="$work/redis"
if [ ! -x "$suite/runtest" ]; then
  mkdir -p "$suite"
  tar -xzf "$work"/redis_7.0.*.orig.tar.gz -C "$suite" --strip-components=1
fi
[ -f "$root/dist/src/cli/main.js" ] || skip "dist is missing: run npm run build first"

ready="$work/ready.json"
node "$root/dist/src/cli/main.js" node --name suite --listen 127.0.0.1:0 --redis 127.0.0.1:0 --json --log-level warn \
  >"$ready" 2>"$work/node.log" &
node_pid=$!
proxy_pid=
trap 'kill $node_pid $proxy_pid 2>/dev/null' EXIT
for _ in $(seq 100); do
  [ -s "$ready" ] && break
  sleep 0.1
done
port=$(sed -n 's/.*"redis":"127\.0\.0\.1:\([0-9]*\)".*/\1/p' "$ready")
[ -n "$port" ] || { cat "$work/node.log"; exit 1; }
if [ -n "$fixtures" ]; then
  url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$ready")
  (cd "$root" && exec node --import tsx test/redis-suite/fixtures.ts "$url" "127.0.0.1:$port") >"$work/proxy.port" 2>"$work/proxy.log" &
  proxy_pid=$!
  for _ in $(seq 100); do
    [ -s "$work/proxy.port" ] && break
    sleep 0.1
  done
  port=$(cat "$work/proxy.port")
fi

status=0
for unit in "${units[@]}"; do
  log="$work/$(echo "$unit" | tr / -).log"
  # --durable: an unknown command fails its test and not the run. The tags leave out what needs a server of the suite's own.
  (cd "$suite" && timeout 300 ./runtest --host 127.0.0.1 --port "$port" --clients 1 --singledb --ignore-encoding \
    --ignore-digest --durable --tags "-needs:debug -needs:repl -needs:save -needs:reset -needs:config-maxmemory" \
    --single "$unit") >"$log" 2>&1
  plain=$(sed 's/\x1b\[[0-9;]*m//g' "$log")
  passed=$(grep -c '^\[ok\]' <<<"$plain")
  failed=$(grep -c -E '^\[(err|exception)\]' <<<"$plain")
  echo "$unit: $passed of $((passed + failed)) passed"
  grep -E -A1 '^\[(err|exception)\]' <<<"$plain" | grep -v '^--' | cut -c1-200 | sed 's/^/    /'
  kill -0 "$node_pid" 2>/dev/null || { echo "the node died:"; tail -5 "$work/node.log"; status=1; break; }
done
exit "$status"
