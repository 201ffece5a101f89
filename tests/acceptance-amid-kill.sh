#!/usr/bin/env bash
# Drivers of real clients and session stores against three nodes, while one node is killed hard and restarted over
# and over.
#
#   tests/acceptance-amid-kill.sh [--behind] FOLDER [FILTER ...]
#
# FOLDER has run.sh, which takes PORT and NODES, runs each driver whose name has a FILTER in it, and prints PASS or
# FAIL for each; CACHE and DRIVER_TIMEOUT (60) reach it. The node that is killed is a replica of every key, and the
# one that no client is connected to: most drivers end at the first broken connection, whatever a server could do.
# With --behind the clients are connected to it too; a driver that fails is then tried again, TRIES (3) times in all.
# HENGE names the program (default: target/release/henge). Exits with 1 if a driver fails, or ran with all nodes up.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
fail() { echo "acceptance-amid-kill: $*" >&2; exit 2; }

behind=; tries=1
[ "${1:-}" != --behind ] || { behind=1; tries=${TRIES:-3}; shift; }
[ $# -gt 0 ] || fail "usage: tests/acceptance-amid-kill.sh [--behind] FOLDER [FILTER ...]"
[ -f "$1/run.sh" ] || fail "no run.sh in $1"
[ -x "$henge" ] || fail "no program at $henge (cargo build --release)"
folder=$(cd "$1" && pwd); shift
filters=("$@"); [ $# -gt 0 ] || filters=("")
work=$(mktemp -d)
# shellcheck source=tests/three-nodes.sh
. "$root/tests/three-nodes.sh"
trap 'nodes_end; rm -rf "$work"' EXIT
nodes_begin || fail "the cluster does not start: $(tail -qn 3 "$work"/node*.log)"

at() { echo "127.0.0.1:${resp[$1]}"; }
nodes=$(at 0),$(at 1); [ -z "$behind" ] || nodes=$nodes,$(at 2)
drivers=()
for driver in "$folder"/open/*; do
    for filter in "${filters[@]}"; do
        [[ open/$(basename "$driver") != *"$filter"* ]] || { drivers+=("open/$(basename "$driver")"); break; }
    done
done
[ ${#drivers[@]} -gt 0 ] || fail "no driver is called so"
SETUP_ONLY=1 bash "$folder/run.sh" "${filters[@]}" >"$work/setup" 2>&1 || cat "$work/setup"

# Runs one driver; meanwhile kills node 2 half a second after it has all its data, again and again.
amid() {
    local driver
    HOST=127.0.0.1 PORT=${resp[0]} NODES=$nodes DRIVER_TIMEOUT=${DRIVER_TIMEOUT:-60} \
        bash "$folder/run.sh" "$1" >"$work/out" 2>&1 &
    driver=$!
    kills=0
    while kill -0 $driver 2>/dev/null; do
        sleep 0.5
        kill -0 $driver 2>/dev/null || break
        node_kill 2; kills=$((kills + 1))
        sleep 0.5
        node_start 2
        node_ready 2 || fail "node 2 does not come back: $(tail -n 3 "$work/node2.log")"
    done
    wait $driver
}

passed=0; failed=0; untried=0
for driver in "${drivers[@]}"; do
    for try in $(seq "$tries"); do
        amid "$driver" && break
        [ "$try" = "$tries" ] || grep -E "^FAIL" "$work/out"
    done
    line=$(grep -E "^(PASS|FAIL|SKIP) $driver" "$work/out")
    echo "${line:-FAIL $driver: $(tail -n 1 "$work/out")}; node killed $kills times, try $try"
    case $line in
        PASS*) passed=$((passed + 1)); [ "$kills" -gt 0 ] || untried=$((untried + 1)) ;;
        SKIP*) ;;
        *) failed=$((failed + 1)) ;;
    esac
done
echo "$passed drivers passed, $failed failed; $untried ran with all nodes up"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ] && [ "$untried" -eq 0 ]
