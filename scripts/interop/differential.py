#!/usr/bin/env python3
"""Part (d): the same random requests to one Apache ZooKeeper 3.9.5 server and to one of ours, every reply,
Stat, event and error compared.

    differential.py --binary target/release/vivarium [--seed 7] [--ops 5000]

Both servers are standalone and begin empty. What may differ is in the table INTENDED, with its
reason; whatever else differs ends the run with exit code 1 and the operation that showed it.
"""

import argparse
import collections
import dataclasses
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time
import typing

import zkwire
from apache import ApacheServer
from lone import Bench
from operations import TRAP, Operation, Operations
from report import Row, show
from sides import Outcome, Side, Zxids
from trouble import BROKEN, NO_VERDICT, HarnessTrouble
from vivarium import VivariumServer
from zkwire import Closed

SESSIONS = 4
SEED, OPERATIONS = 7, 5000
CONFIG = """\
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
tickTime=2000
maxSessionTimeout=3600000
maxClientCnxns=0
4lw.commands.whitelist=*
admin.enableServer=false
eventHistory=0
"""
# eventHistory is ours: 0 tells persistent watches nothing of what they missed, as Apache does (decision 0024).
# Containers are removed by a timer of each server's own: not within a run.
PROPERTIES = {"znode.container.checkIntervalMs": 86_400_000}


@dataclasses.dataclass(frozen=True)
class Intended:
    """A difference that is wanted. `shift`: how far our zxids fall behind or run ahead by it."""

    name: str
    reason: str
    # The operation, and both outcomes in comparable form.
    matches: typing.Callable[[Operation, Outcome, Outcome], bool]
    shift: int = 0


def _is(trap, code):
    """Ours answers `code` to an operation of this trap, whatever Apache does."""
    return lambda operation, apache, ours: operation.traps == trap and ours.code == code


def _echo(operation, apache, ours):
    """The same path in other characters: one U+FFFD for several bytes, or two surrogates for one character."""
    if operation.op != zkwire.SYNC or apache.code or ours.code:
        return False
    plain = [(outcome.values[0] or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace") for outcome in (apache, ours)]
    paths = [re.sub("\ufffd+", "\ufffd", path) for path in plain]
    return paths[0] == paths[1] and apache.zxid == ours.zxid


def _empty_path(operation, apache, ours):
    reads = (zkwire.EXISTS, zkwire.GET_DATA, zkwire.GET_CHILDREN, zkwire.GET_CHILDREN2, zkwire.GET_ACL)
    return operation.op in reads and operation.body[:4] == bytes(4) and apache.code == 0 and ours.code == -101


INTENDED = (
    Intended(
        "T24",
        "createSession and deleteContainer are for servers among themselves: refused from clients as unknown",
        lambda operation, apache, ours: _is("T24", -6)(operation, apache, ours) and ours.closed,
        shift=-1,
    ),
    Intended(
        "T30",
        "Apache makes a plain node of a container that comes by create or create2, and logs the digest of another: refused",
        _is("T30", -8),
    ),
    Intended(
        "T2",
        "a body that cannot be read: Apache logs an error, for a multi under a zxid of its own; ours is answered and not logged",
        lambda operation, apache, ours: ours.code == -5 and dataclasses.replace(apache, zxid=ours.zxid) == ours,
        shift=-1,
    ),
    Intended(
        "empty path",
        "a read of the empty path finds the root there, by the table's key for it; no client asks for it: no node",
        _empty_path,
    ),
    Intended(
        "echo",
        "sync sends back a path that no node can have: ours as UTF-8, Java's as its own kind of it",
        _echo,
    ),
)  # fmt: skip
# What is not asked for here yet, because ours does not serve it yet.
NOT_YET = ("createContainer", "createTTL", "multiRead", "getEphemerals",
           "getAllChildrenNumber", "whoAmI", "reconfig", "access that an ACL refuses")  # fmt: skip
ORDER = "T13: names of children come in the order of a hash table there, sorted here"
CLOSE_ORDER = "T13: the ephemerals of a session go in the order of a hash set there, sorted here"


class Difference(Exception):
    """Something that nobody intended."""


class Run:
    """Both sides, what was sent, and what was met."""

    def __init__(self, apache, ours, seed):
        self.apache, self.ours = apache, ours
        self.operations = Operations(seed, SESSIONS)
        self.random = random.Random(f"{seed} run")
        self.zxids = Zxids(ours.last_zxid() - apache.last_zxid())
        self.counts, self.refused = collections.Counter(), collections.Counter()
        self.explained, self.events, self.sent = collections.Counter(), 0, 0
        self._both(Operation(0, "create", zkwire.CREATE, zkwire.create(TRAP, b"", zkwire.OPEN, 0)))

    def go(self, count):
        while self.sent < count:
            roll = self.random.random()
            if roll < 0.06:
                self._burst(min(self.random.randrange(2, 9), count - self.sent))
            elif roll < 0.075:
                self._reconnect(self.random.randrange(SESSIONS))
            else:
                self._both(self.operations.one())
        self._compare_trees()

    def _both(self, operation):
        self._send([operation])
        self._settle(operation)

    def _burst(self, count):
        """Several requests of one session on their way at once."""
        session = self.random.randrange(SESSIONS)
        draws = (Operations.create, Operations.delete, Operations.set_data, Operations.read, Operations.multi, Operations.sync)
        batch = [dataclasses.replace(self.random.choice(draws)(self.operations, session), burst=True) for _ in range(count)]
        self.counts["bursts of 2 to 8"] += 1
        self._send(batch)
        self._settle(batch[-1])

    def _send(self, batch):
        zxid = self.apache.last_zxid()
        for operation in batch:
            self.apache.send(operation, zxid, lambda zxid: zxid)
            self.ours.send(operation, zxid, self.zxids.ours)
        for operation in batch:
            self.sent += 1
            self.counts[operation.label] += 1
            apache, ours = self.apache.outcome(operation), self.ours.outcome(operation)
            if ours.code:
                self.refused[ours.code] += 1
            self._compare(operation, apache, ours)
            self._learn(operation, ours)

    def _learn(self, operation, ours):
        creates = (zkwire.CREATE, zkwire.CREATE2, zkwire.CREATE_CONTAINER)
        if ours.code == 0 and operation.op in creates and ours.values:
            self.operations.created(ours.values[0])

    def _compare(self, operation, apache, ours):
        one, other = self._form(apache, self.apache, self.zxids), self._form(ours, self.ours, None)
        if one == other:
            return
        for intended in INTENDED:
            if intended.matches(operation, one, other):
                return self._explain(intended, operation, apache)
        raise Difference(f"{describe(operation)}\n  Apache:   {one}\n  Vivarium: {other}")

    def _form(self, outcome, side, zxids):
        zxid = outcome.zxid if zxids is None or outcome.zxid is None else zxids.ours(outcome.zxid)
        values = tuple(self._sorted(value, zxids) for value in outcome.values)
        return dataclasses.replace(outcome, zxid=zxid, values=side.comparable(values, zxids))

    def _sorted(self, value, zxids):
        """Names of children, sorted. A multi's results keep their order."""
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            return value
        if zxids and value != sorted(value):
            self.explained[ORDER] += 1
        return sorted(value)

    def _explain(self, intended, operation, apache):
        self.explained[f"{intended.name}: {intended.reason}"] += 1
        if operation.traps == "T24":
            self._renew(operation.session)
        if operation.burst and intended.shift:
            # More is on its way: what both have come to cannot be asked now.
            self.zxids.shift(apache.zxid, self.zxids.offset + intended.shift)
        elif not operation.burst:
            self._resync(operation, intended)

    def _resync(self, operation, intended):
        apache, ours = self.apache.last_zxid(), self.ours.last_zxid()
        shift = ours - apache - self.zxids.offset
        if shift not in (0, intended.shift):
            raise Difference(f"{describe(operation)}\n  {intended.name} moved our zxids by {shift}, not {intended.shift}")
        self.zxids.shift(apache, ours - apache)

    def _renew(self, slot):
        """A new session at both, where the old one is in no defined state."""
        for side in (self.apache, self.ours):
            side.connections[slot].drop()
        self._open(slot)

    def _settle(self, operation):
        """What a request has caused elsewhere: events, in order, and ends of connections."""
        for slot in range(SESSIONS):
            lists = [self._events(side, slot) for side in (self.apache, self.ours)]
            if (lists[0] is None) != (lists[1] is None):
                gone = "Apache" if lists[0] is None else "Vivarium"
                raise Difference(f"{describe(operation)}\n  only {gone} closed session {slot}")
            if lists[0] is None:
                self._back(slot, operation)
            else:
                self._compare_events(operation, slot, *lists)

    @staticmethod
    def _events(side, slot):
        try:
            # What the trap T30 makes there, and not here, a watch of the root is told of.
            return [event for event in side.events(slot) if not event.path.startswith(TRAP)]
        except Closed:
            return None

    def _compare_events(self, operation, slot, apache, ours):
        one = [self.apache.comparable(event, self.zxids) for event in apache]
        self.events += len(ours)
        if one == ours:
            return
        by_text = sorted(one, key=repr), sorted(ours, key=repr)
        if operation.op == zkwire.CLOSE_SESSION and by_text[0] == by_text[1]:
            self.explained[CLOSE_ORDER] += 1
            return
        raise Difference(f"{describe(operation)}\n  events of session {slot}\n  Apache:   {one}\n  Vivarium: {ours}")

    def _back(self, slot, operation):
        """A closed connection: the same session again, or a new one where it is over."""
        if operation.op != zkwire.CLOSE_SESSION and self._reattach(slot).session:
            return
        self._open(slot)

    def _open(self, slot):
        self._welcomes(f"new session {slot}", self.apache.open(slot), self.ours.open(slot))

    def _reconnect(self, slot):
        """The session on a new connection: rightly, with a wrong password, or from the future."""
        self.counts["reconnect"] += 1
        self.sent += 1
        match self.random.randrange(4):
            case 0:
                refused = self._reattach(slot, password=b"wrong password!!")
                if refused.session or refused.timeout:
                    raise Difference(f"session {slot} was given away for a wrong password")
                self._reattach(slot)
            case 1:
                if self._reattach(slot, last_zxid=1 << 50) is not None:
                    raise Difference("a client that is ahead was welcome")
                self._reattach(slot)
            case _:
                self._reattach(slot)

    def _reattach(self, slot, **how):
        apache, ours = self.apache.reattach(slot, **how), self.ours.reattach(slot, **how)
        if apache is None and ours is None:
            return None
        self._welcomes(f"session {slot} comes back", apache, ours)
        return ours

    def _welcomes(self, what, apache, ours):
        if apache is None or ours is None:
            raise Difference(f"{what}: Apache {apache}, Vivarium {ours}")
        forms = [
            (welcome.protocol, welcome.timeout, welcome.read_only, welcome.session != 0, _password_is_right(welcome))
            for welcome in (apache, ours)
        ]
        if forms[0] != forms[1] or not forms[1][-1]:
            raise Difference(f"{what}: Apache {apache}, Vivarium {ours}")

    def _compare_trees(self):
        trees = [zkwire.walk(side.probe) for side in (self.apache, self.ours)]
        for tree in trees:
            for path in [path for path in tree if path.startswith(TRAP)]:
                del tree[path]
        if trees[0].keys() != trees[1].keys():
            raise Difference(f"nodes that only one has: {sorted(trees[0].keys() ^ trees[1].keys())}")
        for path, node in trees[0].items():
            form, other = self.apache.comparable(_flat(node), self.zxids), self.ours.comparable(_flat(trees[1][path]))
            if form != other:
                raise Difference(f"{path} at the end\n  Apache:   {form}\n  Vivarium: {other}")
        self.counts["nodes compared at the end"] = len(trees[0])


def _flat(node):
    return (node.data, node.acl, node.stat, node.children)


def _password_is_right(welcome):
    expected = zkwire.password(welcome.session) if welcome.session else bytes(16)
    return welcome.password == expected


def describe(operation):
    body = operation.body if isinstance(operation.body, bytes) else b"(depends on the zxid)"
    shown = body if len(body) < 400 else body[:200] + b"..." + body[-100:]
    return f"{operation.label} (operation {operation.op}) of session {operation.session}: {shown!r}"


def start(bench):
    """Both servers, serving."""
    servers = []
    for name in ("apache", "vivarium"):
        home, port = bench.folder / "differential" / name, bench.ports.take()
        (home / "data").mkdir(parents=True)
        config = home / "zoo.cfg"
        config.write_text(CONFIG.format(data=home / "data", port=port))
        if name == "apache":
            server = ApacheServer(name, config, home / "log", port, bench.jars, properties=PROPERTIES, heap="256m", log_level="WARN")
        else:
            server = VivariumServer(name, config, home / "log", port, bench.binary)
        server.start()
        servers.append(server)
    for server in servers:
        server.wait_serving()
    return servers


def run(bench, seed=SEED, operations=OPERATIONS):
    """The rows for the table of `make interop`: one."""
    bench.say(f"differential: {operations} operations from seed {seed}")
    started = time.monotonic()
    servers = start(bench)
    violations = []
    try:
        both = Run(*(Side(server.name, server.client_port, SESSIONS) for server in servers), seed)
        try:
            both.go(operations)
        except Difference as difference:
            violations.append(f"operation {both.sent}: {difference}")
        except (Closed, zkwire.Garbled) as trouble:
            violations.append(f"operation {both.sent}: the run broke off: {trouble!r}")
    finally:
        for server in servers:
            server.stop()
    return [Row("d", f"Apache and Vivarium, seed {seed}", exercised(both), violations, time.monotonic() - started)]


def exercised(both):
    """What was sent and what came of it, counted."""
    table = {"operations": both.sent, "events compared": both.events}
    table |= {label: count for label, count in sorted(both.counts.items())}
    table |= {f"answered {code}": count for code, count in sorted(both.refused.items(), reverse=True)}
    table |= {f"intended, {reason}": count for reason, count in sorted(both.explained.items())}
    return table


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the vivarium to compare")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--ops", type=int, default=OPERATIONS, help="requests to send (default %(default)s)")
    parser.add_argument("--ports", type=int, default=27000, help="take ports from here on")
    asked = parser.parse_args(words)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-differential-"))
    rows = run(Bench(asked.binary.absolute(), folder, asked.ports), asked.seed, asked.ops)
    show(rows)
    print(f"      not compared yet: {', '.join(NOT_YET)}")
    if any(row.violations for row in rows):
        print(f"folders and logs: {folder}", file=sys.stderr)
        return BROKEN
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (HarnessTrouble, TimeoutError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
        sys.exit(NO_VERDICT)
