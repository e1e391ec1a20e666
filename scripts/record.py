#!/usr/bin/env python3
"""Stands between ZooKeeper clients and servers, and writes down what they say to each other.

    record.py history.jsonl 1=127.0.0.1:2181 2=127.0.0.1:2182

prints one line per server, `1=127.0.0.1:PORT`: clients that connect there are recorded. Ctrl-C ends
it. Every frame is written before it is passed on, so that the order of the file is one that clients
could have seen; `vivarium-sim check history.jsonl --log FOLDER` judges it. Python 3 alone is enough.
"""

import argparse
import asyncio
import base64
import json
import os
import signal
import sys
import threading
import time

HOST = "127.0.0.1"
CHUNK = 1 << 16
# A longer frame is no frame: both ZooKeeper and Vivarium refuse it.
LARGEST_FRAME = 64 << 20


class History:
    """The file, one JSON document a line, each written at once."""

    def __init__(self, path, servers):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self.connections = 0
        self.frames = 0
        addresses = [f"{number}={host}:{port}" for number, host, port in servers]
        self._write({"vivarium_history": 1, "servers": addresses})

    def opened(self, server, address):
        """`address`: the one under which the server sees the client."""
        self.connections += 1
        self.tell(self.connections, server, opened=True, address=address)
        return self.connections

    def frame(self, connection, server, side, frame):
        self.frames += 1
        text = base64.b64encode(frame).decode()
        self.tell(connection, server, **{"from": side, "frame": text})

    def tell(self, connection, server, **what):
        at_us = time.monotonic_ns() // 1000
        self._write({"at_us": at_us, "connection": connection, "server": server, **what})

    def close(self):
        os.close(self.file)

    def _write(self, document):
        line = memoryview(json.dumps(document).encode() + b"\n")
        while line:
            line = line[os.write(self.file, line) :]


class Frames:
    """Cuts one direction of a connection into frames."""

    def __init__(self, take):
        self.take = take
        self.rest = bytearray()
        self.is_word = None

    def feed(self, chunk, may_be_word):
        """Tells of every frame that is whole now."""
        if self.is_word:
            return
        self.rest += chunk
        if self.is_word is None and len(self.rest) >= 4:
            # A four-letter word read as a length is above 1.6 * 10^9.
            self.is_word = may_be_word and self.rest[:4].isalpha()
        while not self.is_word and len(self.rest) >= 4:
            length = int.from_bytes(self.rest[:4], "big")
            if length > LARGEST_FRAME:
                self.is_word = True
            elif len(self.rest) < 4 + length:
                return
            else:
                self.take(bytes(self.rest[4 : 4 + length]))
                del self.rest[: 4 + length]


class Link:
    """One client connection and its way on to the server."""

    def __init__(self, history, server, client_side, server_side):
        self.history, self.server = history, server
        self.client_side, self.server_side = client_side, server_side
        own, *_ = server_side[1].get_extra_info("sockname")
        self.number = history.opened(server, own)
        self.ended = False

    async def run(self):
        (from_client, to_client), (from_server, to_server) = self.client_side, self.server_side
        ways = [
            asyncio.ensure_future(self._pass_on("client", from_client, to_server)),
            asyncio.ensure_future(self._pass_on("server", from_server, to_client)),
        ]
        try:
            # When one side ends, so does the other: a client that is gone reads no more answers.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end()
            for way in ways:
                way.cancel()
            for writer in (to_client, to_server):
                writer.close()

    async def _pass_on(self, side, reader, writer):
        frames = Frames(lambda frame: self._record(side, frame))
        try:
            while chunk := await reader.read(CHUNK):
                frames.feed(chunk, may_be_word=side == "client")
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass  # reset by that side: as good as an end
        if side == "server":
            await self._flush(writer)

    async def _flush(self, writer):
        try:
            await writer.drain()
        except OSError:
            pass

    def _record(self, side, frame):
        if not self.ended:
            self.history.frame(self.number, self.server, side, frame)

    def _end(self):
        if not self.ended:
            self.ended = True
            self.history.tell(self.number, self.server, closed=True)


class Recorder:
    """The listening ports, in an event loop and a thread of their own."""

    def __init__(self, path, servers):
        """`servers`: (number, host, port) of each."""
        self.servers = servers
        self.history = History(path, servers)
        self.ports = {}
        self._loop = asyncio.new_event_loop()
        self._links = set()
        self._listeners = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)

    def start(self):
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Ends all connections; the history is complete when this returns."""
        if not self._thread.is_alive():
            return
        self._call(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.history.close()

    def hosts(self, numbers=None):
        """Where clients that are to be recorded connect, as they write it."""
        chosen = self.ports if numbers is None else numbers
        return ",".join(f"{HOST}:{self.ports[number]}" for number in chosen)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self):
        for number, host, port in self.servers:
            accept = self._accept_for(number, host, port)
            listener = await asyncio.start_server(accept, HOST, 0)
            self._listeners.append(listener)
            self.ports[number] = listener.sockets[0].getsockname()[1]

    def _accept_for(self, number, host, port):
        async def accept(reader, writer):
            task = asyncio.current_task()
            self._links.add(task)
            try:
                try:
                    onward = await asyncio.open_connection(host, port)
                except OSError:
                    # As the server itself would: nobody is there.
                    writer.transport.abort()
                    return
                await Link(self.history, number, (reader, writer), onward).run()
            except asyncio.CancelledError:
                pass  # the recorder stops
            finally:
                self._links.discard(task)

        return accept

    async def _hang_up(self):
        for listener in self._listeners:
            listener.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links, timeout=5)


def server(text):
    number, _, address = text.partition("=")
    host, _, port = address.rpartition(":")
    if not (number.isdecimal() and host and port.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not ID=HOST:PORT")
    return int(number), host, int(port)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("history", help="file to write; an older one is replaced")
    parser.add_argument("servers", nargs="+", type=server, metavar="ID=HOST:PORT")
    options = parser.parse_args()
    ending = {signal.SIGINT, signal.SIGTERM}
    # Before there are threads, so that none of them is interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        recorder = Recorder(options.history, options.servers).start()
    except OSError as error:
        print(f"cannot record: {error}", file=sys.stderr)
        return 1
    for number, port in recorder.ports.items():
        print(f"{number}={HOST}:{port}", flush=True)
    signal.sigwait(ending)
    recorder.stop()
    history = recorder.history
    print(f"{history.frames} frames of {history.connections} connections", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
