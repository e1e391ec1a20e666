"""Servers of ours and of Apache's, empty at the start, driven by the same requests: one of each kind, or
three of each.

Replies are brought to one form: zxids of Apache become those that ours must show, session ids become
the number of the session, times become what can be said about them.
"""

import bisect
import dataclasses
import time

import zkwire
from operations import SUPER
from trouble import Violation
from zkwire import Closed, Connection, Event, Garbled, Stat

# No session may expire within a run but by intent: each server would see to it at a moment of its own.
TIMEOUT = 1_800_000
# Servers that do not come to the same zxid in this time are no longer on their way to it.
SETTLE_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one request came to. `closed`: the connection ended, behind the reply if there is one."""

    zxid: int | None = None
    code: int | None = None
    values: tuple = ()
    raw: bytes = b""
    closed: bool = False


class Zxids:
    """What Apache's zxids are on our side. They drift apart where one logs what the other does not."""

    def __init__(self, offset):
        self.starts, self.offsets = [0], [offset]

    @property
    def offset(self):
        return self.offsets[-1]

    def ours(self, apache):
        if apache <= 0:
            return apache
        return apache + self.offsets[bisect.bisect_right(self.starts, apache) - 1]

    def shift(self, start, offset):
        """From `start` on the difference is `offset`."""
        self.starts.append(start)
        self.offsets.append(offset)


class Side:
    """The sessions at one server, or at one ensemble."""

    def __init__(self, name, ports, sessions, rename=lambda data: data):
        self.name, self.ports, self.rename = name, ports, rename
        self.connections, self.places = [None] * sessions, [slot % len(ports) for slot in range(sessions)]
        self.owners = {}
        self.started = time.time()
        self.probes = [Connection(port, timeout=TIMEOUT) for port in ports]
        for probe in self.probes:
            authenticate(probe, SUPER)
        for slot in range(sessions):
            self.open(slot)

    def open(self, slot):
        """A new session takes the place."""
        connection = Connection(self._port(slot), timeout=TIMEOUT)
        self.connections[slot] = connection
        # Two lives of one place are two owners.
        self.owners[connection.welcome.session] = (slot, len(self.owners))
        return connection.welcome

    def _port(self, slot):
        return self.ports[self.places[slot]]

    def reattach(self, slot, password=None, last_zxid=None, timeout=TIMEOUT):
        """The session of the place comes back on a new connection; answers None where it is closed at once."""
        old = self.connections[slot]
        old.drop()
        known = old.welcome
        zxid = self.last_zxid() if last_zxid is None else last_zxid
        try:
            new = Connection(self._port(slot), known.session, password or known.password, timeout, zxid)
        except Closed:
            return None
        if new.welcome.session:
            self.connections[slot] = new
        return new.welcome

    def move(self, slot, step):
        """The place's session comes back at another server."""
        self.places[slot] = (self.places[slot] + step) % len(self.ports)

    def last_zxid(self):
        """The last zxid that all servers have processed, asked through sessions of its own."""
        end = time.monotonic() + SETTLE_SECONDS
        while True:
            for probe in self.probes:
                probe.request(zkwire.PING, xid=zkwire.XID_PING)
            zxids = {probe.reply().zxid for probe in self.probes}
            if len(zxids) == 1:
                return zxids.pop()
            if time.monotonic() > end:
                raise Violation(f"the servers of {self.name} came to no common zxid in {SETTLE_SECONDS} s: {sorted(zxids)}")

    def send(self, batch, zxid, translate):
        """One session's requests, in one piece. The far side may go before it took all: a frame beyond its limit."""
        connection = self.connections[batch[0].session]
        try:
            connection.requests([(one.op, one.body_for(zxid, translate), one.xid) for one in batch])
        except Closed:
            pass

    def outcome(self, operation):
        connection = self.connections[operation.session]
        try:
            reply = connection.reply()
        except Closed:
            return Outcome(closed=True)
        try:
            values = () if reply.code or operation.traps else zkwire.decode(operation.op, reply.body)
        except Garbled as error:
            values = (f"garbled: {error}",)
        body = reply.body if reply.code or operation.traps else b""
        may_end = reply.code in (-6, -115) or operation.op == zkwire.CLOSE_SESSION
        return Outcome(reply.zxid, reply.code, values, body, closed=may_end and not operation.burst and self._ended(connection))

    @staticmethod
    def _ended(connection):
        """The end comes a moment after the reply."""
        try:
            for _ in range(4):
                connection.ping()
                time.sleep(0.02)
        except (Closed, Garbled):
            return True
        return False

    def push(self, slots):
        """Asks for what waits at the server: a ping brings it out."""
        for slot in slots:
            try:
                self.connections[slot].request(zkwire.PING, xid=zkwire.XID_PING)
            except Closed:
                pass

    def events(self, slot):
        """All events of a place since the last call, each with the number of replies before it; None where it
        was closed. Behind `push`."""
        connection = self.connections[slot]
        try:
            connection.reply()
        except Closed:
            return None
        return connection.take_events()

    def finish(self):
        for connection in [*self.connections, *self.probes]:
            connection.finish()

    def comparable(self, value, zxids=None):
        """The value in the form in which both sides must agree; `zxids` translates those of Apache."""
        translate = zxids.ours if zxids else (lambda zxid: zxid)
        match value:
            case Stat():
                return self._stat(value, translate)
            case Event():
                return Event(translate(value.zxid), value.kind, value.state, value.path)
            case tuple():
                return tuple(self.comparable(one, zxids) for one in value)
            case list():
                return [self.comparable(one, zxids) for one in value]
            case bytes():
                return self.rename(value)
            case _:
                return value

    def _stat(self, stat, translate):
        """Times are the wall clock of the server: within the run, and equal where one transaction set both."""
        plausible = all(at == 0 or self.started - 300 <= at / 1000 <= time.time() + 2 for at in (stat.ctime, stat.mtime))
        times = (stat.ctime == 0, stat.mtime == 0, plausible, stat.ctime <= stat.mtime)
        owner = self.owners.get(stat.owner, stat.owner)
        return dataclasses.replace(
            stat,
            czxid=translate(stat.czxid),
            mzxid=translate(stat.mzxid),
            pzxid=translate(stat.pzxid),
            ctime=times,
            mtime=stat.mzxid == stat.czxid,
            owner=owner,
        )


def authenticate(connection, identity):
    scheme, proof = identity
    body = zkwire.integer(0) + zkwire.ustring(scheme) + zkwire.buffer(proof)
    return connection.call(zkwire.AUTH, body, xid=zkwire.XID_AUTH).code
