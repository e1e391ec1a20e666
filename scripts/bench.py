#!/usr/bin/env python3
"""Throughput, CPU, memory and start time of real servers on this machine, with figures only.

The load comes from plain sockets in processes of their own, so the client's share of the machine is
part of every figure: compare runs on one machine, not across machines. CPU per operation is that of
the servers alone (/proc/PID/stat), summed over the ensemble.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import selectors
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from quorum.server import HOST, free_ports

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CREATE, GET_DATA, SET_DATA, GET_CHILDREN = 1, 4, 5, 8


class Ensemble:
    def __init__(self, binary, count, folder):
        self.ports, quorum, election = (free_ports(3 * count)[i::3] for i in range(3))
        members = "".join(
            f"server.{i + 1}={HOST}:{quorum[i]}:{election[i]}\n" for i in range(count)
        )
        self.processes = []
        self.started = time.monotonic()
        for index in range(count):
            data = folder / f"{count}-{index + 1}"
            data.mkdir(parents=True)
            (data / "myid").write_text(str(index + 1))
            (data / "initialize").touch()
            config = data / "zoo.cfg"
            config.write_text(
                f"dataDir={data}\nclientPort={self.ports[index]}\ntickTime=2000\ninitLimit=10\n"
                "syncLimit=5\nmaxClientCnxns=0\n" + (members if count > 1 else "")
            )
            with open(data / "log", "wb") as log:
                self.processes.append(
                    subprocess.Popen([binary, "serve", config], stdout=log, stderr=log)
                )
        self.to_serve = self.wait()

    def wait(self):
        while time.monotonic() - self.started < 60:
            try:
                for port in self.ports:
                    Session(port).socket.close()
                return time.monotonic() - self.started
            except OSError:
                time.sleep(0.002)
        raise SystemExit("the servers do not serve")

    def cpu(self):
        total = 0
        for process in self.processes:
            stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(stat[11]) + int(stat[12])
        return total / TICKS

    def memory_mb(self):
        pages = (
            int(pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            for process in self.processes
        )
        return max(pages) * PAGE / 2**20

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Session:
    def __init__(self, port):
        self.socket = socket.create_connection((HOST, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = struct.pack(">iqiqi", 0, 0, 30000, 0, 16) + bytes(17)
        self.socket.sendall(struct.pack(">i", len(request)) + request)
        answer = self.socket.recv(41)
        if len(answer) < 41 or struct.unpack(">i", answer[8:12])[0] == 0:
            raise OSError("refused")

    def ask(self, request):
        self.socket.sendall(request)
        head = self.exactly(4)
        return self.exactly(struct.unpack(">i", head)[0])

    def exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise OSError("closed")
            data += chunk
        return data


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(raw)) + raw


def frame(op, body):
    payload = struct.pack(">ii", 1, op) + body
    return struct.pack(">i", len(payload)) + payload


def create(path, data):
    acl = struct.pack(">ii", 1, 31) + text("world") + text("anyone")
    return frame(CREATE, text(path) + text(data) + acl + struct.pack(">i", 0))


def get(path):
    return frame(GET_DATA, text(path) + b"\0")


def children(path):
    return frame(GET_CHILDREN, text(path) + b"\0")


def set_data(path, data):
    return frame(SET_DATA, text(path) + text(data) + struct.pack(">i", -1))


def drive(port, connections, depth, request, reply_len, seconds, result):
    """Keeps `depth` requests in flight on each connection; counts replies by their bytes."""
    sessions = [Session(port) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    for session in sessions:
        session.partial = 0
        selector.register(session.socket, selectors.EVENT_READ, session)
        session.socket.sendall(request * depth)
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in selector.select(0.1):
            session = key.data
            session.partial += len(session.socket.recv(1 << 20))
            replies, session.partial = divmod(session.partial, reply_len)
            if replies:
                done += replies
                session.socket.sendall(request * replies)
    result.put(done)


def measure(ensemble, name, request, connections, depth, seconds, workers=1):
    reply_len = 4 + len(Session(ensemble.ports[0]).ask(request))
    result = multiprocessing.Queue()
    before, start = ensemble.cpu(), time.monotonic()
    each = max(1, connections // workers)
    clients = [
        multiprocessing.Process(
            target=drive,
            args=(
                ensemble.ports[i % len(ensemble.ports)],
                each, depth, request, reply_len, seconds, result,
            ),
        )
        for i in range(workers)
    ]
    for client in clients:
        client.start()
    done = sum(result.get() for _ in clients)
    for client in clients:
        client.join()
    elapsed, cpu = time.monotonic() - start, ensemble.cpu() - before
    row = {
        "servers": len(ensemble.ports), "load": name, "connections": each * workers, "depth": depth,
        "per_second": round(done / elapsed), "server_cpu_us_per_op": round(cpu / max(done, 1) * 1e6, 2),
    }
    print(json.dumps(row), flush=True)


def fill(port, nodes, depth=500):
    """Creates nodes of 100 bytes, a thousand to a folder, `depth` at a time; answers how long it took."""
    session, start = Session(port), time.monotonic()
    folders = -(-nodes // 1000)
    paths = ["/large", *(f"/large/{folder}" for folder in range(folders))]
    paths += (f"/large/{number % folders}/node-{number:08}" for number in range(nodes))
    for first in range(0, len(paths), depth):
        some = paths[first : first + depth]
        session.socket.sendall(b"".join(create(path, bytes(100)) for path in some))
        for _ in some:
            session.exactly(struct.unpack(">i", session.exactly(4))[0])
    session.socket.close()
    return time.monotonic() - start


def large_tree(options, folder):
    """What a million znodes take of the server that made them."""
    nodes = options.znodes
    folder = folder / "large"
    ensemble = Ensemble(options.binary, 1, folder)
    try:
        idle_mb = ensemble.memory_mb()
        spent = fill(ensemble.ports[0], nodes)
        row = {"znodes": nodes, "creates_per_second": round(nodes / spent),
               "memory_mb": round(ensemble.memory_mb(), 1),
               "bytes_each": round((ensemble.memory_mb() - idle_mb) * 2**20 / nodes)}
        print(json.dumps(row), flush=True)
        for name, request in (("read", get("/large/0/node-00000000")), ("list", children("/large/0"))):
            measure(ensemble, f"{name} among {nodes}", request, 1, 100 if name == "read" else 10, options.seconds)
    finally:
        ensemble.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", default="target/release/vivarium")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--znodes", type=int, default=1_000_000, help="of the large tree; 0 leaves it out")
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-bench-"))
    try:
        for count in (1, 3):
            ensemble = Ensemble(options.binary, count, folder)
            try:
                row = {"servers": count, "seconds_to_serve": round(ensemble.to_serve, 3),
                       "idle_memory_mb": round(ensemble.memory_mb(), 1)}
                print(json.dumps(row), flush=True)
                Session(ensemble.ports[0]).ask(create("/bench", bytes(100)))
                time.sleep(0.2)
                for connections, depth in ((1, 1), (1, 100), (16, 32)):
                    measure(ensemble, "read", get("/bench"), connections, depth, options.seconds)
                for connections, depth in ((1, 1), (1, 100), (16, 32)):
                    request = set_data("/bench", bytes(100))
                    measure(ensemble, "write", request, connections, depth, options.seconds)
            finally:
                ensemble.stop()
        if options.znodes:
            large_tree(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
