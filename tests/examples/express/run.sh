#!/usr/bin/env bash
# Three nodes and three express servers with a login page, from a fresh clone; --check tries them with a client and a
# browser and ends, with 77 if no browser is installed and all else went well. Needs node 20 and npm besides what
# Henge needs. HENGE=path takes a binary that is built already, BROWSER=program another chromium or chrome.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

npm ci --no-audit --no-fund --silent
[ "${1:-}" != --check ] || (cd ../check && npm ci --no-audit --no-fund --silent)
if [ -z "${HENGE:-}" ]; then
    (cd ../../.. && cargo build --locked --release --bin henge)
    HENGE=../../../target/release/henge
fi
exec node run.js "$HENGE" "$@"
