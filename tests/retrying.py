"""Retries for clients of the Redis protocol that have none: a go-between for each of some nodes.

    retrying.py same|next PORT [PORT ...]

Prints, in one line, a port of its own for each of these. When the connection to a node breaks, what is unanswered is
asked again on a new one: at the same node until it is back, or at the next. So what was asked may be done twice.
A client that is amid MULTI or WATCH, or whose question TRIES (100) connections in a row have not answered, is cut
off. An error that a node answers is an answer.
"""

import asyncio
import os
import sys

TRIES = int(os.environ.get("TRIES", 100))
PAUSE = 0.1
# Settings of a connection, which a new one is given too.
STANDING = {b"HELLO", b"AUTH", b"SELECT", b"CLIENT SETNAME", b"CLIENT SETINFO"}


def line_end(data, at):
    end = data.find(b"\r\n", at)
    return None if end < 0 else end + 2


def reply_end(data, at=0):
    """Where the reply that begins at `at` ends, or None while it is not all there."""
    end = line_end(data, at)
    if end is None:
        return None
    kind = bytes(data[at : at + 1])
    if kind in b"+-:_#,(":
        return end
    count = int(data[at + 1 : end - 2])
    if kind in b"$!=":
        end += count + 2 if count >= 0 else 0
        return end if end <= len(data) else None
    for _ in range({b"%": 2 * count, b"|": 2 * count + 1}.get(kind, count)):
        end = reply_end(data, end)
        if end is None:
            return None
    return end


def take_request(data):
    """The first request's end and its name, or None while it is not all there."""
    end = line_end(data, 0)
    if end is None:
        return None
    if data[:1] != b"*":
        words = bytes(data[: end - 2]).split()
    else:
        words = []
        for _ in range(int(data[1 : end - 2])):
            begun = line_end(data, end)
            if begun is None:
                return None
            end = begun + int(data[end + 1 : begun - 2]) + 2
            if end > len(data):
                return None
            words.append(bytes(data[begun : end - 2]))
    name = b" ".join(word.upper() for word in words[:1])
    if name == b"CLIENT":
        name = b" ".join(word.upper() for word in words[:2])
    return end, name


class Client:
    def __init__(self, ports, reader, writer):
        self.ports, self.reader, self.writer = ports, reader, writer
        self.unanswered = []  # (name, bytes), oldest first
        self.standing = {}  # name: bytes
        self.amid = False  # an answered MULTI or WATCH is not ended
        self.node = None

    async def serve(self):
        asking = asyncio.create_task(self.take_requests())
        answering = asyncio.create_task(self.answer())
        done, others = await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in filter(None, (self.writer, self.node)):
            writer.close()
        for task in done:
            if not isinstance(task.exception(), (OSError, type(None))):
                raise task.exception()

    async def take_requests(self):
        data = bytearray()
        while chunk := await self.reader.read(1 << 16):
            data += chunk
            while taken := take_request(data):
                end, name = taken
                if name:
                    self.unanswered.append((name, bytes(data[:end])))
                    if self.node:
                        self.node.write(data[:end])
                del data[:end]

    async def answer(self):
        tried = 0
        while tried < TRIES and not self.amid:
            try:
                if await self.answer_by(self.ports[0]):
                    tried = 0
            except OSError:
                pass
            self.node = None
            self.ports = self.ports[1:] + self.ports[:1]
            tried += 1
            if tried % len(self.ports) == 0:
                await asyncio.sleep(PAUSE)

    async def answer_by(self, port):
        """Answers until the connection breaks; whether anything was answered."""
        reader, node = await asyncio.open_connection("127.0.0.1", port)
        answered = False
        try:
            redone = len(self.standing)
            node.write(b"".join(self.standing.values()) + b"".join(ask for _, ask in self.unanswered))
            self.node = node
            data = bytearray()
            while chunk := await reader.read(1 << 18):
                data += chunk
                while end := reply_end(data):
                    reply = bytes(data[:end])
                    del data[:end]
                    if reply[:1] != b">" and redone:
                        redone -= 1
                        continue
                    if reply[:1] != b">":
                        self.note(*self.unanswered.pop(0), reply)
                        answered = True
                    self.writer.write(reply)
                await self.writer.drain()
        finally:
            node.close()
        return answered

    def note(self, name, ask, reply):
        if name in (b"MULTI", b"WATCH"):
            self.amid = True
        elif name in (b"EXEC", b"DISCARD", b"UNWATCH"):
            self.amid = False
        elif name in STANDING and reply[:1] != b"-":
            self.standing[name] = ask


async def main():
    mode, *ports = sys.argv[1:]
    ports = [int(port) for port in ports]
    own = []
    for place in range(len(ports)):
        order = ports[place : place + 1] if mode == "same" else ports[place:] + ports[:place]
        server = await asyncio.start_server(lambda r, w, order=order: Client(order, r, w).serve(), "127.0.0.1", 0)
        own.append(str(server.sockets[0].getsockname()[1]))
    print(*own, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
