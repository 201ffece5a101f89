#!/usr/bin/env bash
# What a touch costs beside a SET: CPU of the three nodes and bytes between them, per request, for 512-byte sessions
# of 30 minutes (N=3, R=W=2): SETs alone, and one SET to twenty touches (PEXPIRE), in turn. What the SETs among the
# touches cost is taken off. Before the first touches are measured every session has been touched at every node.
#
#   ROUNDS=3 SECONDS=4 KEYS=20000 CONNECTIONS=50 PIPELINE=16 loadgen/touch-cost.sh
#
# HENGE and LOADGEN name the programs (default: target/release of this checkout); words after the script's name are
# flags of the nodes. Needs python3 and Linux' /proc. Exits with 1 if a touch costs more than half of a SET in either,
# with 2 when it could not measure.
length=$SECONDS; [ "$length" -gt 0 ] || length=4
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
loadgen=${LOADGEN:-$root/target/release/loadgen}
rounds=${ROUNDS:-3}
work=$(mktemp -d)
fail() { echo "touch-cost: $*" >&2; exit 2; }
for program in "$henge" "$loadgen"; do
    [ -x "$program" ] || fail "no program at $program (cargo build --release -p henge -p henge-loadgen)"
done
# shellcheck source=tests/three-nodes.sh
. "$root/tests/three-nodes.sh"
trap 'nodes_end; rm -rf "$work"' EXIT
nodes_begin --data-threads 1 --anti-entropy-interval 1h "$@" ||
    fail "the cluster does not start: $(tail -qn 3 "$work"/node*.log)"

# sum NAME: a counter of all three nodes
sum() {
    local i
    for i in 0 1 2; do curl -sf -m 5 "http://127.0.0.1:${http[$i]}/metrics"; done |
        awk -v name="$1" '$1 == name { n += $2 } END { printf "%.0f", n }'
}

# load WORKLOAD SECONDS [FLAG ...]: requests, µs of the nodes per request
load() {
    local workload=$1 seconds=$2; shift 2
    "$loadgen" --quiet --target "127.0.0.1:${resp[0]},127.0.0.1:${resp[1]},127.0.0.1:${resp[2]}" --ttl 30m \
        --workload "$workload" --keys "${KEYS:-20000}" --value-size 512 --r 2 --w 2 --settle 0s \
        --connections "${CONNECTIONS:-50}" --pipeline "${PIPELINE:-16}" --duration "${seconds}s" \
        --pids "${pid[0]},${pid[1]},${pid[2]}" --json "$work/run.json" "$@" >"$work/run" 2>&1 ||
        fail "$workload: $(tail -n 1 "$work/run")"
    awk '/"servers_us_per_op"/ { gsub(/[^0-9.]/, "", $2); cost = $2 }
         /"total": {/ { total = 1 }
         total && /"ok"/ { gsub(/[^0-9]/, "", $2); requests = $2; total = 0 }
         END { print requests, cost }' "$work/run.json"
}

# measure WORKLOAD: appends "requests µs bytes"; the bytes of the reads that verify what was written count, too
measure() {
    local before line
    before=$(sum henge_link_bytes_out_total)
    line=$(load "$1" "$length") && [[ $line =~ ^[0-9]+\ [0-9.]+$ ]] || fail "$1: no figures: $line"
    echo "$line $(($(sum henge_link_bytes_out_total) - before))" >>"$work/$1"
}

load touch 3 --populate >/dev/null || exit 2
for round in $(seq "$rounds"); do
    for workload in touch set; do
        echo "round $round/$rounds: $workload" >&2
        measure "$workload" || exit 2
    done
done
python3 - "$work" <<'PY'
import statistics
import sys

TOUCHES = 20


def rounds(workload):
    with open(f"{sys.argv[1]}/{workload}") as lines:
        for line in lines:
            requests, cpu, sent = map(float, line.split())
            yield requests, cpu, sent / requests


print(f"{'':22}{'requests':>10}{'CPU µs':>9}{'bytes between nodes':>21}")
ratios = []
for (_, *mixed), (_, *written) in zip(rounds("touch"), rounds("set")):
    touched = [(mix * (TOUCHES + 1) - write) / TOUCHES for mix, write in zip(mixed, written)]
    ratios.append([touch / write for touch, write in zip(touched, written)])
for name, workload in ("SET", "set"), ("1 SET to 20 touches", "touch"):
    columns = [statistics.median(column) for column in zip(*rounds(workload))]
    print("{:22}{:10.0f}{:9.2f}{:21.0f}".format(name, *columns))
cpu, sent = (statistics.median(column) for column in zip(*ratios))
print(f"a touch costs {cpu:.2f} of a SET's CPU and {sent:.2f} of its bytes")
sys.exit(max(cpu, sent) > 0.5)
PY
