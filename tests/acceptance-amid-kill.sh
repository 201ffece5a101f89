#!/usr/bin/env bash
# Drivers of real clients and session stores against three nodes, while one node is killed hard and restarted over
# and over.
#
#   tests/acceptance-amid-kill.sh [--victim I] [--retry same|next] FOLDER [FILTER ...]
#
# FOLDER has run.sh, which takes PORT and NODES, runs each driver whose name has a FILTER in it, and prints PASS or
# FAIL for each; CACHE and DRIVER_TIMEOUT (60) reach it. The node that is killed is a replica of every key, and the
# one that no client is connected to: most drivers end at the first broken connection, whatever a server could do.
#   --victim I  kill node I, which clients are connected to: 0 is where PORT and one in three of NODES lead, 1 and 2
#               one in three of NODES each. What a driver looks up for itself goes to another node.
#   --retry     between client and node stands tests/retrying.py, which asks again what a broken connection left
#               unanswered: at the same node once it is back, or at the next.
# With either a driver that fails is tried again, TRIES (3) times in all. Each kill comes at a moment of its own; SEED
# (1) names the row of moments. HENGE names the program (default: target/release/henge). Exits with 1 if a driver
# fails, or ran with all nodes up.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
fail() { echo "acceptance-amid-kill: $*" >&2; exit 2; }

usage='usage: tests/acceptance-amid-kill.sh [--victim I] [--retry same|next] FOLDER [FILTER ...]'
victim=2; behind=; retry=; tries=1
while [[ ${1:-} = --* ]]; do
    case "$1 ${2:-}" in
        "--victim "[012]) behind=1; victim=$2 ;;
        "--retry same" | "--retry next") retry=$2 ;;
        *) fail "$usage" ;;
    esac
    tries=${TRIES:-3}; shift 2
done
RANDOM=${SEED:-1}
[ $# -gt 0 ] || fail "$usage"
[ -f "$1/run.sh" ] || fail "no run.sh in $1"
[ -x "$henge" ] || fail "no program at $henge (cargo build --release)"
folder=$(cd "$1" && pwd); shift
filters=("$@"); [ $# -gt 0 ] || filters=("")
work=$(mktemp -d)
# shellcheck source=tests/three-nodes.sh
. "$root/tests/three-nodes.sh"
trap 'nodes_end; [ -z "${between_PID:-}" ] || kill "$between_PID"; rm -rf "$work"' EXIT
nodes_begin || fail "the cluster does not start: $(tail -qn 3 "$work"/node*.log)"

# Where clients find each node.
doors=("${resp[@]}")
if [ -n "$retry" ]; then
    coproc between { exec python3 "$root/tests/retrying.py" "$retry" "${resp[@]}"; }
    read -ra doors <&"${between[0]}" && [ ${#doors[@]} = 3 ] || fail "retrying.py does not start"
fi
at() { echo "127.0.0.1:${doors[$1]}"; }
nodes=$(at 0),$(at 1); [ -z "$behind" ] || nodes=$nodes,$(at 2)
drivers=()
for driver in "$folder"/open/*; do
    for filter in "${filters[@]}"; do
        [[ open/$(basename "$driver") != *"$filter"* ]] || { drivers+=("open/$(basename "$driver")"); break; }
    done
done
[ ${#drivers[@]} -gt 0 ] || fail "no driver is called so"
SETUP_ONLY=1 bash "$folder/run.sh" "${filters[@]}" >"$work/setup" 2>&1 || cat "$work/setup"

# Runs one driver; meanwhile kills the victim within a second of its having all its data, again and again. Succeeds if
# the driver did, and the victim was killed amid it.
amid() {
    local driver
    HOST=127.0.0.1 PORT=${doors[0]} NODES=$nodes RAW_PORT=${resp[$(((victim + 1) % 3))]} DRIVER_TIMEOUT=${DRIVER_TIMEOUT:-60} \
        bash "$folder/run.sh" "$1" >"$work/out" 2>&1 &
    driver=$!
    kills=0
    while kill -0 $driver 2>/dev/null; do
        sleep "0.$((RANDOM % 700 + 200))"
        kill -0 $driver 2>/dev/null || break
        node_kill "$victim"; kills=$((kills + 1))
        sleep 0.5
        node_start "$victim"
        node_ready "$victim" || fail "node $victim does not come back: $(tail -n 3 "$work/node$victim.log")"
    done
    wait $driver && [ $kills -gt 0 ]
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
