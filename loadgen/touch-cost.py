"""The load and the reckoning of touch-cost.sh, which says what for.

    touch-cost.py SECONDS KEYS CONNECTIONS PIPELINE RESP×3 HTTP×3 PID×3
"""

import os
import random
import re
import selectors
import socket
import sys
import time
import urllib.request

SECONDS, KEYS, CONNECTIONS, PIPELINE = (int(word) for word in sys.argv[1:5])
RESP, HTTP, PIDS = sys.argv[5:8], sys.argv[8:11], sys.argv[11:14]
VALUE = b"x" * 512
COUNTED = ("henge_link_bytes_out_total", "henge_link_batches_out_total", "henge_messages_sent_total")


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def write(number):
    return command(b"SET", b"sess:%d" % number, VALUE, b"EX", b"1800")


def touch(number):
    # No lifetime twice, or the second of two equal deadlines would change nothing.
    return command(b"EXPIRE", b"sess:%d" % number, b"%d" % random.randrange(1800, 3600))


def counters():
    """CPU nanoseconds of all threads of the nodes, then what COUNTED names, summed over the nodes."""
    cpu = 0
    for pid in PIDS:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                cpu += int(stat.read().split()[0])
    sums = [cpu] + [0] * len(COUNTED)
    for port in HTTP:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            text = page.read().decode()
        for at, name in enumerate(COUNTED, 1):
            sums[at] += int(re.search(rf"^{name} (\d+)$", text, re.M)[1])
    return sums


def load(batches):
    """Sends batches (bytes, replies expected) over all connections, each waiting for its answers; counts requests."""
    done = 0
    selector = selectors.DefaultSelector()
    for number in range(CONNECTIONS):
        door = socket.create_connection(("127.0.0.1", int(RESP[number % 3])))
        door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(door, selectors.EVENT_READ, [0])
    busy = 0
    for key in list(selector.get_map().values()):
        batch = next(batches, None)
        if batch:
            key.fileobj.sendall(batch[0])
            key.data[0] = batch[1]
            busy += 1
    while busy:
        for key, _ in selector.select():
            answer = key.fileobj.recv(65536)
            if not answer or b"-" in answer:
                sys.exit(f"touch-cost: a request failed: {answer[:200]}")
            replies = answer.count(b"\n")
            done += replies
            key.data[0] -= replies
            if key.data[0] == 0:
                batch = next(batches, None)
                if batch:
                    key.fileobj.sendall(batch[0])
                    key.data[0] = batch[1]
                else:
                    busy -= 1
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return done


def for_seconds(choose):
    """Batches of requests to random sessions for as long as the measurement takes."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield b"".join(choose(random.randrange(KEYS)) for _ in range(PIPELINE)), PIPELINE


def every_session():
    for first in range(0, KEYS, PIPELINE):
        numbers = range(first, min(first + PIPELINE, KEYS))
        yield b"".join(write(number) for number in numbers), len(numbers)


def measure(choose):
    before = counters()
    done = load(for_seconds(choose))
    spent = [after - was for after, was in zip(counters(), before)]
    return done, [spent[0] / 1000 / done] + [count / done for count in spent[1:]]


def main():
    load(every_session())
    rows = {}
    print("| | requests | CPU µs | bytes between nodes | batches | messages |\n|---|---|---|---|---|---|")
    for name, choose in {
        "SET": write,
        "touch": touch,
        "1 SET to 20 touches": lambda number: (touch if random.random() < 20 / 21 else write)(number),
    }.items():
        done, (cpu, sent, batches, messages) = measure(choose)
        rows[name] = (cpu, sent)
        print(f"| {name} | {done} | {cpu:.2f} | {sent:.0f} | {batches:.3f} | {messages:.2f} |")
    cpu, sent = (touched / written for touched, written in zip(rows["touch"], rows["SET"]))
    mixed = [(mix * 21 - written) / 20 / written for mix, written in zip(rows["1 SET to 20 touches"], rows["SET"])]
    print(f"a touch costs {cpu:.2f} of a SET's CPU and {sent:.2f} of its bytes; in the mixed load {mixed[0]:.2f} and {mixed[1]:.2f}")
    sys.exit(max(cpu, sent) > 0.5)


main()
