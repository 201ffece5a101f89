#!/usr/bin/env bash
# Redis' own tests of the commands that sessions use, against a cluster of three nodes: its Tcl units in
# external-server mode, from the source of Redis 7.0 (https://github.com/redis/redis).
#
#   tests/redis-units.sh REDIS_SOURCE [UNIT ...]
#
# A test that uses a command which is not here is counted apart; any other that fails has to be in
# tests/redis-units.txt, with the reason. HENGE names the program (default: target/release/henge). Needs
# tclsh. Exits with 1 if a test fails that should not, with 2 if nothing could be tried.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
port=${PORT:-26379}
fail() { echo "redis-units: $*" >&2; exit 2; }

[ $# -gt 0 ] || fail "usage: tests/redis-units.sh REDIS_SOURCE [UNIT ...]"
[ -f "$1/tests/test_helper.tcl" ] || fail "no source of Redis in $1"
[ -x "$henge" ] || fail "no program at $henge (cargo build --release)"
command -v tclsh >/dev/null || fail "tclsh is not installed"
work=$(mktemp -d)
cp -r "$1/tests" "$1/runtest" "$work" || fail "cannot copy $1"
shift
units=("$@")
[ $# -gt 0 ] || units=(unit/type/string unit/type/incr unit/type/hash unit/type/set unit/expire unit/scan unit/multi unit/protocol)

# The harness settles what is not configured over this protocol and asks how many bytes a key takes.
(cd "$work/tests" && sed -i 's/^ *r function flush$/catch {r function flush}/' support/server.tcl &&
    sed -i 's/set usage \[r memory usage \$key\]/set usage 1/' support/util.tcl &&
    sed -i 's/^\( *\)r config set \(.*\)$/\1catch {r config set \2}/' \
        support/server.tcl unit/type/*.tcl unit/multi.tcl unit/scan.tcl unit/expire.tcl) || fail "another harness than expected"
# They leave a MULTI open when an unknown command fails in it, which spoils the tests after them.
printf '%s\n' 'MULTI / EXEC basics' DISCARD 'MULTI where commands alter argc/argv' \
    'SMOVE only notify dstset when the addition is successful' >"$work/skip"

"$henge" dev --nodes 3 --port "$port" >"$work/log" 2>&1 &
cluster=$!
trap 'kill -INT $cluster 2>/dev/null; wait; rm -rf "$work"' EXIT
for _ in $(seq 100); do grep -q "is serving" "$work/log" && break; sleep 0.2; done
grep -q "is serving" "$work/log" || fail "the cluster does not start: $(tail -n 3 "$work/log")"

tags="-needs:debug -needs:repl -needs:config-maxmemory -needs:pfdebug -needs:config-resetstat -needs:reset -needs:save -large-memory"
passed=0; absent=0; known=0; wrong=0
for unit in "${units[@]}"; do
    (cd "$work" && timeout 300 ./runtest --host 127.0.0.1 --port "$port" --singledb --ignore-encoding \
        --ignore-digest --durable --tags "$tags" --skipfile "$work/skip" --single "$unit") \
        2>&1 | sed 's/\x1b\[[0-9;]*m//g' >"$work/out"
    ok=$(grep -c '^\[ok\]' "$work/out")
    [ "$ok" -gt 0 ] || { cat "$work/out" >&2; fail "$unit did not run"; }
    passed=$((passed + ok))
    # Each failed test is told again at the end, its reason in the lines that follow.
    while IFS=$'\t' read -r name reason; do
        if grep -q "nknown command\|n command '" <<<"$reason"; then
            absent=$((absent + 1))
        elif grep -qxF "$name" "$root/tests/redis-units.txt"; then
            known=$((known + 1))
        else
            wrong=$((wrong + 1))
            echo "$unit: $name: $reason"
        fi
    done < <(awk '/^\*\*\* \[/ { if (name != "") print name "\t" reason; name = $0; sub(/^\*\*\* \[[a-z]*\]: /, "", name);
                                 sub(/ in tests\/.*/, "", name); reason = ""; next }
                  name != "" && reason == "" { reason = $0 }
                  /^Cleanup/ { if (name != "") print name "\t" reason; name = "" }' "$work/out")
    echo "$unit: $ok passed"
done
echo "$passed passed, $absent use commands that are not here, $known fail as told in tests/redis-units.txt, $wrong fail"
[ "$wrong" -eq 0 ]
