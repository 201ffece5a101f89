#!/usr/bin/env bash
# Three nodes and three express servers with a login page, from a fresh clone; --check tries them and ends.
# Needs node 20 and npm besides what Henge needs. HENGE=path takes a binary that is built already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

npm ci --no-audit --no-fund --silent
if [ -z "${HENGE:-}" ]; then
    (cd ../../.. && cargo build --locked --release --bin henge)
    HENGE=../../../target/release/henge
fi
exec node run.js "$HENGE" "$@"
