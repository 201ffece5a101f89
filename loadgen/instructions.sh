#!/usr/bin/env bash
# Instructions per operation, counted by callgrind: what three nodes together execute in user space
# for one GET and for one SET (N=3, R=W=2, 512-byte values). Unlike times these figures do not
# depend on what else the machine does, so a later change can be held against them.
#
#   loadgen/instructions.sh            SHORT=4000 LONG=24000 PIPELINE=16 are the defaults
#
# Each figure is the difference between a long and a short run, divided by the difference in
# requests, so that starting and stopping cancel out. Needs valgrind. HENGE and LOADGEN name the
# binaries (default: target/release of this checkout). Exits with 2 when it could not measure.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
loadgen=${LOADGEN:-$root/target/release/loadgen}
short=${SHORT:-4000} long=${LONG:-24000} pipeline=${PIPELINE:-16}
work=$(mktemp -d)
pids=()
trap 'kill -9 "${pids[@]}" 2>/dev/null; rm -rf "$work"' EXIT

fail() { echo "instructions: $*" >&2; exit 2; }
command -v valgrind >/dev/null || fail "valgrind is not installed"
[ -x "$henge" ] && [ -x "$loadgen" ] || fail "build first: cargo build --release -p henge -p henge-loadgen"

# Runs three nodes under callgrind, sends them $2 requests of kind $1, prints their instructions.
count() {
    local base=$((20000 + RANDOM % 9000)) peers= targets= sum=0 i n
    for i in 0 1 2; do
        peers+=,127.0.0.1:$((base + 10 * i + 2)) targets+=,127.0.0.1:$((base + 10 * i))
    done
    pids=()
    for i in 0 1 2; do
        valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$work/$i" \
            "$henge" serve --log error --data-threads 1 --timeout 30s --peers "${peers#,}" \
            --listen-resp 127.0.0.1:$((base + 10 * i)) --listen-http 127.0.0.1:$((base + 10 * i + 1)) \
            --listen-peer 127.0.0.1:$((base + 10 * i + 2)) &
        pids+=($!)
    done
    for i in 0 1 2; do
        for n in $(seq 300); do
            [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$((base + 10 * i + 1))/readyz")" = 200 ] && break
            sleep 0.2
        done
    done
    "$loadgen" --target "${targets#,}" --protocol resp --workload "$1" --keys 1000 --populate \
        --connections 6 --pipeline "$pipeline" --requests "$2" >"$work/out" 2>&1 ||
        { cat "$work/out" >&2; fail "loadgen failed"; }
    kill -INT "${pids[@]}"
    wait "${pids[@]}" 2>/dev/null
    for i in 0 1 2; do
        n=$(sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p' "$work/$i")
        [ -n "$n" ] || fail "node $i left no count: $(tail -n 3 "$work/$i")"
        sum=$((sum + n))
    done
    pids=()
    total=$sum
}

echo "instructions per operation, three nodes together, pipeline $pipeline"
for kind in get set; do
    count "$kind" "$short"; low=$total
    count "$kind" "$long"; high=$total
    printf '%-4s %6d\n' "$kind" $(((high - low) / (long - short)))
done
