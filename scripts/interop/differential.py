#!/usr/bin/env python3
"""Part (d): the same random requests to Apache ZooKeeper 3.9.5 and to ours, every reply, Stat, event and error
compared: standalone, and at three servers of each.

    differential.py --binary target/release/vivarium [--servers 3] [--seed 7] [--operations 100000]

Several sessions send batches of requests, one session at a time; between the batches they lose their
connections, come back (elsewhere, late, with a wrong password, from the future), set their watches
again, close and expire. What may differ is in the table INTENDED, with its reason; whatever else differs ends the
run with exit code 1 and with the shortest part of the stream that was found to show it again.
"""

import argparse
import collections
import dataclasses
import pathlib
import shutil
import sys
import tempfile
import time

import shrink
import zkwire
from arena import TICK_MS, Arena
from intended import CLOSE_ORDER, IDENTITY_ORDER, INTENDED, NOT_OFFERED, ORDER
from lone import Bench
from operations import ANN, BOB, SUPER, TRAP, Operation
from report import Row, show
from sides import TIMEOUT, Zxids
from steps import Batch, Expire, Leave, Reconnect, Return, Steps, describe
from trouble import BROKEN, NO_VERDICT, HarnessTrouble, Violation
from zkwire import Closed, Garbled

# Who each session is, on every connection of it.
STANDING = ((SUPER,), (ANN,), (ANN, BOB), (), ())
SESSIONS = len(STANDING)
SEED, OPERATIONS = 7, 100_000
# The shortest session is gone by then, however busy the machine.
EXPIRY_SECONDS = 60 * TICK_MS / 1000
CREATES = (zkwire.CREATE, zkwire.CREATE2, zkwire.CREATE_CONTAINER, zkwire.CREATE_TTL)


class Difference(Exception):
    """Something that nobody intended."""


class Run:
    """Both sides, what was sent, and what was met."""

    def __init__(self, apache, ours, steps=None):
        self.apache, self.ours, self.steps = apache, ours, steps
        self.zxids = Zxids(ours.last_zxid() - apache.last_zxid())
        self.counts, self.refused = collections.Counter(), collections.Counter()
        self.explained, self.events, self.sent = collections.Counter(), 0, 0
        # Nodes that the traps left at Apache alone.
        self.trapped = 0
        # Slots without a connection, and the zxid of Apache that each left at.
        self.away = {}
        self.played = []
        for slot in range(SESSIONS):
            self._introduce(slot)
        self._batch([Operation(0, "create", zkwire.CREATE, zkwire.create(TRAP, b"", zkwire.OPEN, 0))])

    def go(self, count):
        while self.sent < count:
            self.play(self.steps.one(frozenset(self.away), count - self.sent))
        for slot in sorted(self.away):
            self.play(Return(slot, 0, self.steps.watches(slot), 0))
        self._compare_trees()

    def play(self, step):
        self.played.append(step)
        match step:
            case Batch(operations):
                # A shortened stream may address who has left.
                if operations[0].session not in self.away:
                    self._batch(operations)
            case Reconnect(slot, how, move) if slot not in self.away:
                self._reconnect(slot, how, move)
            case Leave(slot) if slot not in self.away:
                self._leave(slot)
            case Return(slot) if slot in self.away:
                self._return(step)
            case Expire(slot) if slot not in self.away:
                self._expire(slot)

    def _batch(self, batch):
        zxid = self.apache.last_zxid()
        self.apache.send(batch, zxid, lambda zxid: zxid)
        self.ours.send(batch, zxid, self.zxids.ours)
        for operation in batch:
            self.sent += 1
            self.counts[operation.label] += 1
            apache, ours = self.apache.outcome(operation), self.ours.outcome(operation)
            if ours.code:
                self.refused[ours.code] += 1
            self._compare(operation, apache, ours)
            if ours.code == 0 and operation.op in CREATES and ours.values and self.steps:
                self.steps.created(ours.values[0])
        if len(batch) > 1:
            self.counts["batches"] += 1
        self._settle(batch[-1])

    def _compare(self, operation, apache, ours):
        one, other = self._form(apache, self.apache, self.zxids), self._form(ours, self.ours, None)
        if operation.op == zkwire.COUNT_CHILDREN and operation.body.startswith(zkwire.ustring("/")) and one.values:
            one = dataclasses.replace(one, values=(one.values[0] - self.trapped,))
        if one == other:
            return
        if operation.op == zkwire.WHO_AM_I or operation.op == zkwire.GET_ACL:
            if _unordered(one) == _unordered(other):
                self.explained[IDENTITY_ORDER] += 1
                return
        for intended in INTENDED:
            if intended.matches(operation, one, other):
                self._explain(intended, operation, apache)
                return
        raise Difference(f"{describe(operation)}\n  Apache:   {one}\n  Vivarium: {other}")

    def _form(self, outcome, side, zxids):
        zxid = outcome.zxid if zxids is None or outcome.zxid is None else zxids.ours(outcome.zxid)
        values = tuple(self._sorted(value, zxids) for value in outcome.values)
        return dataclasses.replace(outcome, zxid=zxid, values=side.comparable(values, zxids))

    def _sorted(self, value, zxids):
        """Names of children, sorted. A multi's results keep their order."""
        if isinstance(value, tuple) and value and value[0] == "getChildren":
            return (*value[:2], self._sorted(value[2], zxids))
        if not isinstance(value, list):
            return value
        if not all(isinstance(one, str) for one in value):
            return [self._sorted(one, zxids) for one in value]
        if zxids and value != sorted(value):
            self.explained[ORDER] += 1
        return sorted(value)

    def _explain(self, intended, operation, apache):
        self.explained[f"{intended.name}: {intended.reason}"] += 1
        if operation.traps == "T24":
            self._renew(operation.session)
        elif operation.traps and apache.code == 0:
            self.trapped += 1
        if not operation.burst:
            self._resync(operation, intended)
        elif intended.shifts and operation.op == zkwire.MULTI:
            # More is on its way: what both have come to cannot be asked now.
            self.zxids.shift(apache.zxid, self.zxids.offset - 1)

    def _resync(self, operation, intended):
        apache, ours = self.apache.last_zxid(), self.ours.last_zxid()
        shift = ours - apache - self.zxids.offset
        if shift not in ((0, -1) if intended.shifts else (0,)):
            raise Difference(f"{describe(operation)}\n  {intended.name} moved our zxids by {shift}")
        if shift:
            self.zxids.shift(apache, ours - apache)

    def _renew(self, slot):
        """A new session at both, where the old one is in no defined state."""
        for side in (self.apache, self.ours):
            side.connections[slot].drop()
        self._open(slot)

    def _settle(self, cause):
        """What a request has caused elsewhere: events, in order, and ends of connections."""
        apache, ours = self.apache.last_zxid(), self.ours.last_zxid()
        if self.zxids.ours(apache) != ours:
            raise Difference(f"{describe(cause)}\n  zxids behind it: Apache {apache}, Vivarium {ours}, not {self.zxids.ours(apache)}")
        here = [slot for slot in range(SESSIONS) if slot not in self.away]
        for side in (self.apache, self.ours):
            side.push(here)
        closed = [slot for slot in here if self._ended(cause, slot)]
        for slot in closed:
            self._back(slot, cause)

    def _ended(self, cause, slot):
        """Compares the events of a place; whether both have closed it."""
        apache, ours = self.apache.events(slot), self.ours.events(slot)
        if (apache is None) != (ours is None):
            gone = "Apache" if apache is None else "Vivarium"
            raise Difference(f"{describe(cause)}\n  only {gone} closed session {slot}")
        if apache is None:
            return True
        # Only one side has what the traps left.
        one = [self.apache.comparable(event, self.zxids) for event in apache if not event[1].path.startswith(TRAP)]
        self.events += len(ours)
        if one != ours:
            self._compare_unordered(cause, slot, one, ours)
        return False

    def _compare_unordered(self, cause, slot, apache, ours):
        ends = isinstance(cause, Expire) or cause.op == zkwire.CLOSE_SESSION
        if ends and sorted(apache, key=repr) == sorted(ours, key=repr):
            self.explained[CLOSE_ORDER] += 1
            return
        raise Difference(f"{describe(cause)}\n  events of session {slot}, each behind so many replies\n  Apache:   {apache}\n  Vivarium: {ours}")

    def _back(self, slot, cause):
        """A closed connection: the same session again, or a new one where it is over."""
        if isinstance(cause, Operation) and cause.op != zkwire.CLOSE_SESSION and self._reattach(slot).session:
            return
        self._open(slot)

    def _open(self, slot):
        self._welcomes(f"new session {slot}", self.apache.open(slot), self.ours.open(slot))
        self._introduce(slot)

    def _introduce(self, slot):
        """Who the session is, told once more on each connection."""
        for scheme, proof in STANDING[slot]:
            body = zkwire.integer(0) + zkwire.ustring(scheme) + zkwire.buffer(proof)
            codes = [side.connections[slot].call(zkwire.AUTH, body, xid=zkwire.XID_AUTH).code for side in (self.apache, self.ours)]
            if codes != [0, 0]:
                raise Difference(f"session {slot} introduces itself: Apache {codes[0]}, Vivarium {codes[1]}")

    def _reconnect(self, slot, how, move):
        """The session on a new connection: rightly, with a wrong password, or from the future."""
        self.counts[f"reconnect, {how}"] += 1
        self.sent += 1
        self._move(slot, move)
        if how == "a wrong password":
            refused = self._reattach(slot, password=b"wrong password!!")
            if refused is None or refused.session or refused.timeout:
                raise Difference(f"session {slot} was given away for a wrong password")
        if how == "from the future" and self._reattach(slot, last_zxid=1 << 50) is not None:
            raise Difference("a client that is ahead was welcome")
        self._reattach(slot)

    def _move(self, slot, move):
        for side in (self.apache, self.ours):
            side.move(slot, move)

    def _leave(self, slot):
        self.counts["connection lost"] += 1
        self.away[slot] = self.apache.last_zxid()
        for side in (self.apache, self.ours):
            side.connections[slot].drop()

    def _return(self, step):
        """The order of Java's client: the session, its identities, its watches."""
        slot, left = step.slot, self.away.pop(step.slot)
        self.counts["reconnect, with watches"] += 1
        self._move(slot, step.move)
        if self._reattach(slot).session == 0:
            self._open(slot)
            return
        self._batch([step.watch(left)])

    def _expire(self, slot):
        """Both sides see to the end of a session at moments of their own; the rest waits for it."""
        self.counts["session expired"] += 1
        before = [side.last_zxid() for side in (self.apache, self.ours)]
        # What followers have to report of it with the timeout that it had is reported by then.
        time.sleep(2 * TICK_MS / 1000)
        self._reattach(slot, timeout=1)
        self.away[slot] = before[0]
        for side in (self.apache, self.ours):
            self._outlive(side.connections[slot])
            side.connections[slot].drop()
        for side, zxid in zip((self.apache, self.ours), before, strict=True):
            self._wait_for_expiry(side, slot, zxid)
        self._settle(Expire(slot))
        del self.away[slot]
        gone = self._reattach(slot)
        if gone is None or gone.session:
            raise Difference(f"session {slot} is expired, and came back: {gone}")
        self._open(slot)

    @staticmethod
    def _outlive(connection):
        """The last report of a follower counts: one with the new timeout."""
        try:
            for _ in range(5):
                connection.ping()
                time.sleep(TICK_MS / 2000)
        except Closed:
            pass

    @staticmethod
    def _wait_for_expiry(side, slot, before):
        end = time.monotonic() + EXPIRY_SECONDS
        while side.last_zxid() != before + 1:
            if time.monotonic() > end:
                raise Difference(f"session {slot} does not expire at {side.name}: zxid {side.last_zxid()} after {before}")
            time.sleep(0.05)

    def _reattach(self, slot, timeout=TIMEOUT, **how):
        apache, ours = self.apache.reattach(slot, timeout=timeout, **how), self.ours.reattach(slot, timeout=timeout, **how)
        if apache is None and ours is None:
            return None
        self._welcomes(f"session {slot} comes back", apache, ours)
        if ours.session:
            self._introduce(slot)
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
        for number in range(len(self.apache.probes)):
            trees = [zkwire.walk(side.probes[number]) for side in (self.apache, self.ours)]
            self._compare_tree(trees)

    def _compare_tree(self, trees):
        for tree in trees:
            for path in [path for path in tree if path.startswith(TRAP)]:
                del tree[path]
        if trees[0].keys() != trees[1].keys():
            raise Difference(f"nodes that only one has: {sorted(trees[0].keys() ^ trees[1].keys())}")
        for path, node in trees[0].items():
            form, other = self.apache.comparable(_flat(node), self.zxids), self.ours.comparable(_flat(trees[1][path]))
            if form != other:
                raise Difference(f"{path} at the end\n  Apache:   {form}\n  Vivarium: {other}")
        self.counts["nodes compared at the end"] += len(trees[0])


def _unordered(outcome):
    return repr(dataclasses.replace(outcome, values=())), sorted(map(repr, outcome.values[0] or ())) if outcome.values else None


def _flat(node):
    return node if isinstance(node, int) else (node.data, node.acl, node.stat, node.children)


def _password_is_right(welcome):
    expected = zkwire.password(welcome.session) if welcome.session else bytes(16)
    return welcome.password == expected


def compare(arena, seed, operations):
    """One stream; answers the run and what it broke."""
    steps = Steps(seed, SESSIONS, arena.servers, NOT_OFFERED)
    run = Run(*arena.sides(SESSIONS), steps)
    try:
        run.go(operations)
    except (Difference, Closed, Garbled, Violation, TimeoutError) as trouble:
        told = str(trouble) if isinstance(trouble, Difference) else f"the run broke off: {trouble!r}"
        return run, [f"operation {run.sent}: {told}\n{shorten(arena, run)}"]
    for side in (run.apache, run.ours):
        side.finish()
    return run, []


def shorten(arena, run):
    """What of the stream shows the difference again, from empty trees."""

    def shows(steps):
        again = Run(*arena.emptied(SESSIONS))
        try:
            for step in steps:
                again.play(step)
        except Difference as difference:
            return str(difference)
        except (Closed, Garbled, Violation, TimeoutError) as trouble:
            return repr(trouble)
        return None

    return shrink.text(run.played, shows)


def run(bench, seed=SEED, operations=OPERATIONS, servers=(1, 3)):
    """The rows for the table of `make interop`: one for each number of servers."""
    rows = []
    for count in servers:
        bench.say(f"differential: {operations} operations from seed {seed}, {count} {'server' if count == 1 else 'servers'} of each kind")
        started = time.monotonic()
        with Arena(bench, count) as arena:
            both, violations = compare(arena, seed, operations)
        pairing = f"Apache and Vivarium, {'standalone' if count == 1 else f'{count} servers'}, seed {seed}"
        rows.append(Row("d", pairing, exercised(both), violations, time.monotonic() - started))
    return rows


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
    parser.add_argument("--operations", type=int, default=OPERATIONS, help="requests to send (default %(default)s)")
    parser.add_argument("--servers", type=int, choices=(1, 3), action="append", help="of each kind; both unless named")
    parser.add_argument("--ports", type=int, default=27000, help="take ports from here on")
    asked = parser.parse_args(words)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-differential-"))
    rows = run(Bench(asked.binary.absolute(), folder, asked.ports), asked.seed, asked.operations, asked.servers or (1, 3))
    show(rows)
    if NOT_OFFERED:
        print(f"      not offered yet, and not asked for: {', '.join(NOT_OFFERED)}")
    if any(row.violations for row in rows):
        print(f"folders and logs: {folder}", file=sys.stderr)
        return BROKEN
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (HarnessTrouble, Violation, TimeoutError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
        sys.exit(NO_VERDICT)
