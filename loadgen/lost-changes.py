#!/usr/bin/env python3
"""1,000 changes to one session at once: how many are lost.

    loadgen/lost-changes.py whole HOST:PORT[,HOST:PORT...]     a client that loads and saves the whole value
    loadgen/lost-changes.py fields HOST:PORT[,HOST:PORT...]    one that sets its field of a hash (HSET)
    loadgen/lost-changes.py counts HOST:PORT[,HOST:PORT...]    one that adds to a field (HINCRBY)

Fifty clients, spread over the addresses, make twenty changes each as fast as they are answered; `whole` is
what session middleware does with Redis: GET, change one field of the JSON, SET. Prints how many of the
changes that were acknowledged are missing afterwards; exits with 1 if any is, 2 if nothing answers.
"""
import json
import os
import socket
import sys
import threading

CLIENTS, EACH = 50, 20


class Client:
    """As much of the Redis protocol as is needed."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.file = socket.create_connection((host, int(port)), timeout=30).makefile("rwb")

    def call(self, *words):
        words = [str(word).encode() for word in words]
        request = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        self.file.write(b"*%d\r\n" % len(words) + request)
        self.file.flush()
        return self.answer()

    def answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        return rest.decode()


def whole(client, key, name):
    session = json.loads(client.call("GET", key) or "{}")
    session[name] = "changed"
    client.call("SET", key, json.dumps(session), "EX", 600)


def fields(client, key, name):
    client.call("HSET", key, name, "changed")


def counts(client, key, _):
    client.call("HINCRBY", key, "count", 1)


def kept(way, client, key):
    if way is whole:
        return len(json.loads(client.call("GET", key)))
    if way is fields:
        return int(client.call("HLEN", key))
    return int(client.call("HGET", key, "count"))


def main():
    ways = {"whole": whole, "fields": fields, "counts": counts}
    if len(sys.argv) != 3 or sys.argv[1] not in ways:
        sys.exit(__doc__)
    way, addresses = ways[sys.argv[1]], sys.argv[2].split(",")
    key = f"sess:{sys.argv[1]}-{os.getpid()}"
    try:
        clients = [Client(addresses[it % len(addresses)]) for it in range(CLIENTS)]
        clients[0].call("DEL", key)
    except (OSError, RuntimeError) as error:
        print(f"lost-changes: {error}", file=sys.stderr)
        sys.exit(2)
    together, refused = threading.Barrier(CLIENTS), []

    def change(number):
        together.wait()
        for change in range(EACH):
            try:
                way(clients[number], key, f"f{number}-{change}")
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=change, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged = CLIENTS * EACH - len(refused)
    lost = acknowledged - kept(way, clients[-1], key)
    print(f"{sys.argv[1]}: {acknowledged} acknowledged, {len(refused)} refused, {lost} lost")
    if refused:
        print(f"refused: {refused[0]}")
    sys.exit(lost != 0)


main()
