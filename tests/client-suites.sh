#!/usr/bin/env bash
# redis-py's, ioredis' and connect-redis' own test suites against one of three nodes, from their sources
# (https://github.com/redis/redis-py 8.1.0, redis/ioredis 6.0.0, tj/connect-redis 9.0.0; others may do).
#
#   tests/client-suites.sh [redis-py=FOLDER] [ioredis=FOLDER] [connect-redis=FOLDER]
#
# Without arguments only redis-py's, whose source package (with its tests) pip fetches. Counted are the tests that
# ask the node anything. What uses a command that is not here is left out, by the node's own count of unknown
# commands; any other test that fails has to be in tests/client-suites.txt, with the reason. Not run are files that
# are about something else altogether: modules, Redis Cluster, Sentinel, TLS, publishing, and mocks. HENGE names the
# program (default: target/release/henge), CACHE a folder for what pip and npm install, OUT one for what each test
# was told. Needs python3, and node 20 with npm for the latter two. Exits with 1 if a test fails that should not or
# less than 97 % pass, with 2 if nothing could be tried.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
henge=${HENGE:-$root/target/release/henge}
parts=$root/tests/client-suites
fail() { echo "client-suites: $*" >&2; exit 2; }

[ -x "$henge" ] || fail "no program at $henge (cargo build --release)"
work=$(mktemp -d)
cache=${CACHE:-$work/cache}; out=${OUT:-$work/out}
mkdir -p "$cache" "$out" && cache=$(cd "$cache" && pwd) && out=$(cd "$out" && pwd) || fail "cannot make $cache and $out"
# shellcheck source=tests/three-nodes.sh
. "$root/tests/three-nodes.sh"
trap 'nodes_end; rm -rf "$work"' EXIT
nodes_begin --allow-flush || fail "the cluster does not start: $(tail -qn 3 "$work"/node*.log)"
export METRICS=http://127.0.0.1:${http[0]}/metrics
port=${resp[0]}

# The suites have Redis' port in hundreds of places.
own_port() { grep -rlE '(^|[^0-9])6379([^0-9]|$)' "$@" | xargs sed -i -E "s/(^|[^0-9])6379([^0-9]|$)/\1$port\2/g"; }

redis_py() {
    local source=$1 python=$cache/redis-py/bin/python
    if [ -z "$source" ]; then
        (cd "$work" && python3 -m pip download -q --no-deps --no-binary :all: redis==8.1.0 && tar xzf redis-8.1.0.tar.gz) || return 1
        source=$work/redis-8.1.0
    fi
    cp -r "$source" "$work/redis-py" && own_port "$work/redis-py/redis" "$work/redis-py/tests" || return 1
    if [ ! -x "$python" ]; then
        python3 -m venv "$cache/redis-py" && "$python" -m pip install -q --disable-pip-version-check pytest \
            'pytest-asyncio>=0.24' pytest-timeout packaging numpy xxhash==3.6.0 'pybreaker>=1.4' 'aiohttp>=3.9' \
            'opentelemetry-api>=1.30' 'opentelemetry-sdk>=1.30' 'async-timeout>=4.0.3' || return 1
    fi
    (cd "$work/redis-py/tests" && TOLD=$out/redis-py PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$parts:$work/redis-py timeout 2400 "$python" -m pytest \
        -p pytest_told -p no:logging -q --tb=native --timeout 30 --redis-url "redis://localhost:$port/0" --rootdir .. -c ../pyproject.toml \
        -m 'not onlycluster and not redismod and not ssl' \
        test_{commands,pipeline,encoding,lock,scripting,connection,connection_pool,connect,client,multiprocessing,retry}.py \
        test_{max_connections_error,legacy_responses_arg,helpers,utils,cache,command_parser}.py \
        test_asyncio/test_{commands,pipeline,encoding,lock,scripting,connection,connection_pool,connect,cwe_404,client}.py \
        test_asyncio/test_{retry,usage_counter,utils}.py) >"$out/redis-py.log" 2>&1
    [ -s "$out/redis-py" ] || { tail -n 20 "$out/redis-py.log" >&2; return 1; }
}

# Installs what a folder's package.json wants, once, and gives the folder to the copy.
modules() {
    local kept=$cache/$2; mkdir -p "$kept"
    cp "$1"/package*.json "$kept" && { [ -d "$kept/node_modules" ] || (cd "$kept" && npm install --no-audit --no-fund --silent >&2); } &&
        ln -s "$kept/node_modules" "$work/$2/node_modules"
}

ioredis() {
    mkdir -p "$work/ioredis" && cp -r "$1"/{lib,test,package.json,tsconfig.json} "$work/ioredis" && modules "$1" ioredis || return 1
    own_port "$work/ioredis/lib" "$work/ioredis/test"
    python3 "$parts/run_mocha.py" "$work/ioredis" "$port" "$METRICS" "$out/ioredis" || return 1
}

connect_redis() {
    mkdir -p "$work/connect-redis" && cp -r "$1"/* "$work/connect-redis" && rm -rf "$work/connect-redis/node_modules" &&
        modules "$1" connect-redis || return 1
    # Its server would be a redis-server of its own.
    printf '%s\n' "export const port = \"$port\"" 'export const connect = () => Promise.resolve()' \
        'export const disconnect = () => Promise.resolve()' >"$work/connect-redis/testdata/server.ts"
    (cd "$work/connect-redis" && npx vitest run --reporter json --outputFile "$work/vitest" >"$out/connect-redis.log" 2>&1)
    python3 "$parts/told_by_vitest.py" "$work/vitest" >"$out/connect-redis" || return 1
    cp "$parts/sequential_sets.mjs" "$work/connect-redis" && (cd "$work/connect-redis" && node sequential_sets.mjs "$port")
}

rm -f "$out"/{redis-py,ioredis,connect-redis}
[ $# -gt 0 ] || set -- redis-py=
told=()
for suite in "$@"; do
    case $suite in
        redis-py=*) redis_py "${suite#*=}" ;;
        ioredis=*) ioredis "${suite#*=}" ;;
        connect-redis=*) connect_redis "${suite#*=}" ;;
        *) fail "neither redis-py=, ioredis= nor connect-redis=: $suite" ;;
    esac || fail "${suite%%=*} did not run"
    told+=("${suite%%=*}=$out/${suite%%=*}")
done
python3 "$parts/reckon.py" "$root/tests/client-suites.txt" "${told[@]}"
