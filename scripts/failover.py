#!/usr/bin/env python3
"""How long writes wait when the leader goes: killed with SIGKILL, and stopped with SIGTERM.

Three real servers and clients that write all the time, one write at a time each: raw ones, which try
the next server at once when theirs is gone, and kazoo ones, with kazoo's own pauses. A gap is the time
from the signal to the first acknowledged write that was asked for behind it. Exit code 1 where an
ensemble does not come back, 3 where there is no verdict.
"""

import argparse
import logging
import pathlib
import statistics
import struct
import sys
import tempfile
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent / "interop")]

from ensemble import Ensemble, Kind, Ports
from flows.raw import SET_DATA, Lost, RawClient, text
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry
from trouble import NO_VERDICT
from workplace import put_away

# Between two attempts of a raw client that found no server: what is measured is the servers' part.
RETRY = 0.005


class Writer(threading.Thread):
    """Writes one node again and again; knows when each write was asked for and acknowledged."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.acknowledged, self.stopping = path, [], threading.Event()
        self.errors = 0

    def run(self):
        while not self.stopping.is_set():
            asked = time.monotonic()
            if self.write():
                self.acknowledged.append((asked, time.monotonic()))
                time.sleep(0.002)
            else:
                self.errors += 1

    def first_behind(self, moment):
        """When the first write that was asked for after that moment was acknowledged."""
        return next((acknowledged for asked, acknowledged in self.acknowledged if asked >= moment), None)

    def end(self):
        self.stopping.set()
        self.join(30)


class RawWriter(Writer):
    """Reconnects at once, to one server after the other, and keeps its session."""

    kind = "raw"

    def __init__(self, path, addresses):
        super().__init__(path)
        self.addresses, self.client, self.before, self.xid = addresses, None, None, 0

    def write(self):
        try:
            if self.client is None:
                self.client = RawClient(self.addresses[0], self.before, timeout_ms=10_000)
            self.xid += 1
            body = text(self.path) + struct.pack(">i", 1) + b"x" + struct.pack(">i", -1)
            return self.client.call(self.xid, SET_DATA, body)[2] == 0
        except (Lost, OSError, struct.error):
            self.turn()
            return False

    def turn(self):
        if self.client:
            self.client.drop()
            self.before, self.client = self.client, None
        self.addresses = self.addresses[1:] + self.addresses[:1]
        time.sleep(RETRY)


class KazooWriter(Writer):
    """kazoo as it comes, but for the limit of its patience."""

    kind = "kazoo"

    def __init__(self, path, addresses):
        super().__init__(path)
        self.client = KazooClient(hosts=",".join(addresses), timeout=10, connection_retry=KazooRetry(max_tries=-1))
        self.client.start(timeout=30)

    def write(self):
        try:
            self.client.set(self.path, b"x")
            return True
        except (KazooException, KazooTimeoutError):
            time.sleep(RETRY)
            return False

    def end(self):
        super().end()
        self.client.stop()
        self.client.close()


def start_writers(ensemble, each):
    addresses = [seat.address for seat in ensemble.seats]
    setup = KazooClient(hosts=ensemble.hosts(), timeout=10)
    setup.start(timeout=30)
    writers = []
    for kind in (RawWriter, KazooWriter):
        for number in range(each):
            path = setup.create(f"/{kind.kind}-{number}")
            setup.sync(path)
            turned = addresses[number % 3 :] + addresses[: number % 3]
            writers.append(kind(path, turned))
    setup.stop()
    setup.close()
    for writer in writers:
        writer.start()
    return writers


def one_round(ensemble, writers, graceful, limit):
    """Ends the leader; answers the gap of each writer, and brings the server back."""
    leader = ensemble.wait_for_all()
    time.sleep(0.5)
    process = leader.server.process
    moment = time.monotonic()
    process.terminate() if graceful else process.kill()
    end = moment + limit
    while any(writer.first_behind(moment) is None for writer in writers):
        if time.monotonic() > end:
            silent = [writer.path for writer in writers if writer.first_behind(moment) is None]
            raise TimeoutError(f"no write of {', '.join(silent)} within {limit} s of the end of {leader.name}")
        time.sleep(0.002)
    code = process.wait(limit)
    if graceful and code != 0:
        raise AssertionError(f"{leader.name} ended with code {code} after SIGTERM; see {leader.server.log}")
    ensemble.start(leader)
    return [(writer.kind, writer.first_behind(moment) - moment) for writer in writers]


def measure(options, folder, tick_ms, graceful):
    settings = {"tickTime": tick_ms, "initLimit": 10, "syncLimit": 5, "snapCount": 100_000, "preAllocSize": 65536}
    ensemble = Ensemble([Kind.VIVARIUM] * 3, folder, Ports(options.ports), options.binary, None, settings)
    writers = []
    try:
        ensemble.start_all()
        writers = start_writers(ensemble, options.clients)
        time.sleep(0.5)
        return [one_round(ensemble, writers, graceful, options.limit) for _ in range(options.rounds)]
    finally:
        for writer in writers:
            writer.end()
        ensemble.end()


def report(tick_ms, graceful, rounds):
    how = "stopped" if graceful else "killed"
    kinds = {
        "first of all": [min(gap for _, gap in gaps) for gaps in rounds],
        "raw, each": [gap for gaps in rounds for kind, gap in gaps if kind == "raw"],
        "kazoo, each": [gap for gaps in rounds for kind, gap in gaps if kind == "kazoo"],
    }
    for name, gaps in kinds.items():
        low, middle, high = (1000 * value for value in (min(gaps), statistics.median(gaps), max(gaps)))
        head = f"leader {how}, tickTime {tick_ms}, {len(rounds)} times, {name}"
        print(f"{head:60} min {low:6.0f}  median {middle:6.0f}  max {high:6.0f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/vivarium")
    parser.add_argument("--rounds", type=int, default=10, help="leaders to end in each way")
    parser.add_argument("--ticks", type=int, nargs="+", default=[2000, 200], help="values of tickTime")
    parser.add_argument("--ways", nargs="+", choices=["kill", "stop"], default=["kill", "stop"])
    parser.add_argument("--clients", type=int, default=3, help="writers of each kind")
    parser.add_argument("--limit", type=float, default=60, help="seconds until a gap counts as a failure")
    parser.add_argument("--ports", type=int, default=28300, help="the first port to try")
    options = parser.parse_args()
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-failover-"))
    code = NO_VERDICT
    try:
        for tick_ms in options.ticks:
            for way in options.ways:
                place = folder / f"{way}-{tick_ms}"
                report(tick_ms, way == "stop", measure(options, place, tick_ms, way == "stop"))
        code = 0
    except (AssertionError, TimeoutError) as error:
        print(f"FAILED: {error}")
        code = 1
    except (OSError, KazooTimeoutError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
    finally:
        put_away(folder, code == 0)
    return code


if __name__ == "__main__":
    sys.exit(main())
