#!/usr/bin/env bash
# What a request costs the servers: one redis-server, redis with two replicas and WAIT 1, and three
# Henge nodes (N=3, R=2, W=2), measured in turn so that all see the same machine. Then, of processes
# started afresh, the memory that a session takes in one Redis and in each node.
#
#   ROUNDS=3 SECONDS=5 KEYS=100000 SESSIONS=1000000 loadgen/compare.sh
#
# ROUNDS=0 measures memory only, SESSIONS=0 leaves it out.
# HENGE and LOADGEN name the binaries (default: target/release of this checkout), OUT a folder for
# the reports. Only processes started here are stopped. Exits with 2 when it could not compare.
set -u

# bash counts this variable up from what the environment gave it, so it is read first.
length=$SECONDS; [ "$length" -gt 0 ] || length=5
rounds=${ROUNDS:-3}
keys=${KEYS:-100000}
sessions=${SESSIONS:-1000000}
root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
loadgen=${LOADGEN:-$root/target/release/loadgen}
work=$(mktemp -d)
out=${OUT:-$work}
started=()

stop() {
    for pid in "${started[@]:-}"; do [ -n "$pid" ] && kill "$pid" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT TERM

fail() { echo "compare: $*" >&2; exit 2; }

command -v redis-server >/dev/null || fail "redis-server is not installed; nothing to compare with"
[ -x "$loadgen" ] || fail "no loadgen at $loadgen (cargo build --release -p henge-loadgen)"
mkdir -p "$out" || fail "cannot make $out"

# A port nobody listens on, below the range from which outgoing connections take theirs.
free_port() {
    local port
    for _ in $(seq 200); do
        port=$((12000 + RANDOM % 18000))
        case " ${taken:-} " in *" $port "*) continue ;; esac
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
        taken="${taken:-} $port"
        picked=$port
        return
    done
    fail "no free port found"
}

# Sends one line and looks for a word in the answer: answers PORT LINE WORD
answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1" && printf "$2" >&3 && timeout 1 head -n 1 <&3 | grep -q -- "$3") 2>/dev/null
}

await() {
    local what=$1; shift
    for _ in $(seq 100); do answers "$@" && return; sleep 0.1; done
    fail "$what did not get ready; its log: $(tail -n 3 "$work/log" 2>/dev/null)"
}

start() {
    "$@" >>"$work/log" 2>&1 &
    started+=($!)
    last=$!
}

start_redis() {
    free_port
    start redis-server --bind 127.0.0.1 --port "$picked" --save '' --appendonly no --dir "$work" "$@"
    await redis-server "$picked" 'PING\r\n' PONG
}

start_redis; one_target=127.0.0.1:$picked; one_pids=$last
start_redis; primary=$picked; trio_target=127.0.0.1:$primary; trio_pids=$last
for _ in 1 2; do
    start_redis --replicaof 127.0.0.1 "$primary"
    trio_pids+=,$last
done
for _ in $(seq 100); do
    answers "$primary" 'WAIT 2 1000\r\n' ':2' && break
    sleep 0.1
done

# Three nodes; their addresses and processes are in henge_targets and henge_pids.
start_henge() {
    local peers= resp=() http=() peer=() i
    henge_targets= henge_pids=
    for i in 0 1 2; do
        free_port; peer[i]=$picked; free_port; resp[i]=$picked; free_port; http[i]=$picked
        peers+=${peers:+,}127.0.0.1:${peer[i]}
        henge_targets+=${henge_targets:+,}127.0.0.1:${resp[i]}
    done
    for i in 0 1 2; do
        start "$henge" serve --listen-peer "127.0.0.1:${peer[i]}" --listen-resp "127.0.0.1:${resp[i]}" \
            --listen-http "127.0.0.1:${http[i]}" --peers "$peers" --data-threads 1
        henge_pids+=${henge_pids:+,}$last
    done
    for i in 0 1 2; do
        await "henge node $i" "${http[i]}" 'GET /readyz HTTP/1.0\r\n\r\n' ' 200 '
    done
}

systems="redis redis-3"
if "$henge" serve --help >/dev/null 2>&1; then
    start_henge
    systems+=" henge"
else
    echo "compare: no working henge at $henge; only Redis is measured" >&2
fi

# measure ROUND SYSTEM WORKLOAD PIPELINE: appends "µs/op ops/s" to a file per case
measure() {
    local target pids extra=() json="$out/$2-$3-P$4-$1.json"
    case $2 in
        redis) target=$one_target pids=$one_pids ;;
        redis-3) target=$trio_target pids=$trio_pids; [ "$3" = set ] && extra=(--wait-n 1) ;;
        henge) target=$henge_targets pids=$henge_pids extra=(--r 2 --w 2) ;;
    esac
    local populate=(); [ "$3" = get ] && [ "$1" = 1 ] && [ "$4" = 1 ] && populate=(--populate)
    "$loadgen" --quiet --target "$target" --workload "$3" --keys "$keys" --value-size 512 --settle 0s \
        --connections 50 --pipeline "$4" --warmup 1s --duration "${length}s" --pids "$pids" \
        --json "$json" "${populate[@]}" "${extra[@]}" >"$work/run" 2>&1
    local status=$?
    [ $status = 2 ] && fail "$2 $3: $(tail -n 1 "$work/run")"
    [ $status = 1 ] && { echo "compare: $2 $3 P=$4 did not verify:"; grep -E 'lost|stale' "$work/run"; } >&2
    awk '/"servers_us_per_op"/ { gsub(/[^0-9.]/, "", $2); cost = $2 }
         /"total": {/ { total = 1 }
         total && /"per_second"/ { gsub(/[^0-9.]/, "", $2); print_rate = $2; total = 0 }
         END { printf "%.2f %.0f\n", cost, print_rate }' "$json" >>"$work/case-$2-$3-$4"
}

for round in $(seq 1 "$rounds"); do
    for pipeline in 1 16; do
        for workload in get set; do
            for system in $systems; do
                echo "round $round/$rounds: $system $workload P=$pipeline" >&2
                measure "$round" "$system" "$workload" "$pipeline"
            done
        done
    done
done

# median FILE COLUMN
median() {
    awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

report() {
    echo "medians of $rounds rounds of ${length} s, 50 connections, $keys keys, 512 B values"
    printf '%-5s %-3s %-8s %12s %10s %10s %12s\n' op P system 'CPU µs/op' 'ops/s' '× redis' '× redis-3'
    for pipeline in 1 16; do
        for workload in get set; do
            base=$(median "$work/case-redis-$workload-$pipeline" 1)
            trio=$(median "$work/case-redis-3-$workload-$pipeline" 1)
            for system in $systems; do
                file=$work/case-$system-$workload-$pipeline
                cost=$(median "$file" 1)
                awk -v op="$workload" -v p="$pipeline" -v s="$system" -v c="$cost" -v r="$(median "$file" 2)" \
                    -v base="$base" -v trio="$trio" 'BEGIN {
                        printf "%-5s %-3s %-8s %11s %10s %10.2f %12.2f\n", op, p, s, c, r,
                            (base > 0) ? c / base : 0, (trio > 0) ? c / trio : 0 }'
            done
        done
    done
}
[ "$rounds" -gt 0 ] && report

# resident PID: bytes that a process has in memory
resident() { awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$1/status"; }

# memory NAME TARGET PIDS: what each session adds to each of these processes
memory() {
    local pids=${3//,/ } pid empty=() i=0
    for pid in $pids; do empty+=("$(resident "$pid")"); done
    "$loadgen" --quiet --target "$2" --populate --workload get --keys "$sessions" --value-size 512 \
        --settle 0s --connections 20 --pipeline 16 --duration 1s >"$work/run" 2>&1 ||
        fail "$1, $sessions sessions: $(tail -n 1 "$work/run")"
    sleep "$length"
    for pid in $pids; do
        echo "$1 $(resident "$pid") ${empty[i]}" | awk -v n="$sessions" \
            '{ printf "%-8s %.1f bytes per session, above the %.1f MB of an empty one\n", $1, ($2 - $3) / n, $3 / 1e6 }'
        i=$((i + 1))
    done
}

if [ "$sessions" -gt 0 ]; then
    echo "$sessions sessions of 512 B, resident memory ${length} s after the last"
    start_redis
    memory redis "127.0.0.1:$picked" "$last"
    if [ "$systems" = "redis redis-3 henge" ]; then
        start_henge
        memory henge "$henge_targets" "$henge_pids"
    fi
fi
[ "$systems" = "redis redis-3 henge" ] || exit 2
