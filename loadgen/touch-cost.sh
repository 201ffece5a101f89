#!/usr/bin/env bash
# What a touch costs beside a SET: CPU of the three nodes and bytes between them, per request, for 512-byte sessions
# of 30 minutes (N=3, R=W=2, strict): SETs alone, touches (EXPIRE) alone, and one SET to twenty touches.
#
#   SECONDS=5 KEYS=20000 CONNECTIONS=16 PIPELINE=16 loadgen/touch-cost.sh
#
# HENGE names the program (default: target/release/henge). Needs python3 and Linux' /proc. Exits with 1 if a touch
# costs more than half of a SET in either, with 2 when it could not measure.
length=$SECONDS; [ "$length" -gt 0 ] || length=5
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
work=$(mktemp -d)
fail() { echo "touch-cost: $*" >&2; exit 2; }
[ -x "$henge" ] || fail "no program at $henge (cargo build --release)"
# shellcheck source=tests/three-nodes.sh
. "$root/tests/three-nodes.sh"
trap 'nodes_end; rm -rf "$work"' EXIT
nodes_begin --strict --data-threads 1 --anti-entropy-interval 1h || fail "the cluster does not start: $(tail -qn 3 "$work"/node*.log)"
python3 "$root/loadgen/touch-cost.py" "$length" "${KEYS:-20000}" "${CONNECTIONS:-16}" "${PIPELINE:-16}" \
    "${resp[@]}" "${http[@]}" "${pid[@]}"
