# To be sourced: three nodes of one cluster on free ports of this machine, ended with the shell that began them.
#
#   nodes_begin [FLAG ...]   resp[0..2], http[0..2] and pid[0..2] afterwards; logs in $work
#   node_start I             node I (again), with the same flags and addresses
#   node_ready I             returns when it serves and has all its data; 1 after 30 s
#   node_kill I              kill -9
#   nodes_end
#
# $henge is the program, $work a directory.

nodes_begin() {
    local ports i
    flags=("$@")
    mapfile -t ports < <(python3 - <<'PY'
import socket
sockets = [socket.socket() for _ in range(9)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
for each in sockets:
    print(each.getsockname()[1])
PY
    )
    [ ${#ports[@]} = 9 ] || return 1
    resp=("${ports[@]:0:3}"); http=("${ports[@]:3:3}"); peer=("${ports[@]:6:3}"); pid=()
    for i in 0 1 2; do node_start $i; done
    for i in 0 1 2; do node_ready $i || return 1; done
}

node_start() {
    local at=127.0.0.1
    "$henge" serve --listen-resp $at:"${resp[$1]}" --listen-http $at:"${http[$1]}" --listen-peer $at:"${peer[$1]}" \
        --peers $at:"${peer[0]}",$at:"${peer[1]}",$at:"${peer[2]}" --log warn "${flags[@]}" >>"$work/node$1.log" 2>&1 &
    pid[$1]=$!
}

node_ready() {
    local _
    for _ in $(seq 150); do
        curl -sf -m 2 "http://127.0.0.1:${http[$1]}/readyz" >/dev/null &&
            curl -sf -m 2 "http://127.0.0.1:${http[$1]}/v1/members" | grep -q '"moving":{[^}]*"partitions":0' && return 0
        kill -0 "${pid[$1]}" 2>/dev/null || return 1
        sleep 0.2
    done
    return 1
}

node_kill() {
    kill -9 "${pid[$1]}" 2>/dev/null
    wait "${pid[$1]}" 2>/dev/null
}

nodes_end() {
    local i
    for i in 0 1 2; do [ -z "${pid[$i]:-}" ] || kill -INT "${pid[$i]}" 2>/dev/null; done
    for i in 0 1 2; do [ -z "${pid[$i]:-}" ] || wait "${pid[$i]}" 2>/dev/null; done
}
