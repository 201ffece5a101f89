#!/usr/bin/env bash
# The login page of the example in Rust in a browser, while one of its three processes is killed. Exits with 77 if no
# browser is installed. Needs node 20 and npm besides what Henge needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

npm ci --no-audit --no-fund --silent
cd ../../..
cargo build --locked -p henge-tower-sessions --example embedded
exec node tests/examples/check/embedded.js "${CARGO_TARGET_DIR:-target}/debug/examples/embedded"
