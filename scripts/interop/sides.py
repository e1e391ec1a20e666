"""One of ours and one of Apache's, both standalone and empty, driven by the same requests.

Replies are brought to one form: zxids of Apache become those that ours must show, session ids become
the number of the session, times become what can be said about them.
"""

import bisect
import dataclasses
import time

import zkwire
from zkwire import Closed, Connection, Event, Garbled, Stat

@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one request came to. `closed`: the connection ended, behind the reply if there is one."""

    zxid: int | None = None
    code: int | None = None
    values: tuple = ()
    raw: bytes = b""
    closed: bool = False


# No session may expire within a run: each server would see to it at a moment of its own.
TIMEOUT = 1_800_000


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
    """The sessions at one server."""

    def __init__(self, name, port, sessions):
        self.name, self.port = name, port
        self.connections = [None] * sessions
        self.owners = {}
        self.started = time.time()
        self.probe = Connection(port, timeout=TIMEOUT)
        for slot in range(sessions):
            self.open(slot)

    def open(self, slot):
        """A new session takes the place."""
        connection = Connection(self.port, timeout=TIMEOUT)
        self.connections[slot] = connection
        # Two lives of one place are two owners.
        self.owners[connection.welcome.session] = (slot, len(self.owners))
        return connection.welcome

    def reattach(self, slot, password=None, session=None, last_zxid=None):
        """The session of the place comes back on a new connection; answers None where it is closed at once."""
        old = self.connections[slot]
        old.drop()
        known = old.welcome
        zxid = self.last_zxid() if last_zxid is None else last_zxid
        try:
            new = Connection(self.port, session or known.session, password or known.password, TIMEOUT, zxid)
        except Closed:
            return None
        if new.welcome.session:
            self.connections[slot] = new
        return new.welcome

    def last_zxid(self):
        """The last zxid that the server has processed, asked through a session of its own."""
        return self.probe.ping()

    def finish(self):
        for connection in [*self.connections, self.probe]:
            connection.finish()

    def send(self, operation, zxid, translate):
        """False where the far side has gone before it took everything: a frame beyond its limit."""
        connection = self.connections[operation.session]
        try:
            connection.request(operation.op, operation.body_for(zxid, translate), operation.xid)
            return True
        except Closed:
            return False

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

    def events(self, slot):
        """All events of a place so far: a ping pushes them out."""
        connection = self.connections[slot]
        connection.ping()
        return connection.take_events()

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
            case _:
                return value

    def _stat(self, stat, translate):
        """Times are the wall clock of the server: within the run, and equal where one transaction set both."""
        plausible = all(at == 0 or self.started - 2 <= at / 1000 <= time.time() + 2 for at in (stat.ctime, stat.mtime))
        times = (stat.ctime == 0, stat.mtime == 0, plausible, stat.ctime <= stat.mtime or stat.ctime == stat.mtime)
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
