"""ZooKeeper's client protocol on a plain socket: requests as bytes, replies as they come.

Made for comparing servers: nothing is retried, hidden or checked here, and a body may be malformed.
"""

import dataclasses
import socket
import struct

HOST = "127.0.0.1"

# Operations, as on the wire.
CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL = 1, 2, 3, 4, 5, 6, 7
GET_CHILDREN, SYNC, PING, GET_CHILDREN2, CHECK, MULTI, CREATE2 = 8, 9, 11, 12, 13, 14, 15
RECONFIG, CHECK_WATCHES, REMOVE_WATCHES = 16, 17, 18
CREATE_CONTAINER, DELETE_CONTAINER, CREATE_TTL, MULTI_READ = 19, 20, 21, 22
AUTH, SET_WATCHES, SASL, GET_EPHEMERALS, COUNT_CHILDREN = 100, 101, 102, 103, 104
SET_WATCHES2, ADD_WATCH, WHO_AM_I = 105, 106, 107
CLOSE_SESSION, CREATE_SESSION, ERROR = -11, -10, -1
NAMES = {
    1: "create", 2: "delete", 3: "exists", 4: "getData", 5: "setData", 6: "getACL", 7: "setACL", 8: "getChildren",
    9: "sync", 11: "ping", 12: "getChildren2", 13: "check", 14: "multi", 15: "create2", 16: "reconfig", 17: "checkWatches",
    18: "removeWatches", 19: "createContainer", 20: "deleteContainer", 21: "createTTL", 22: "multiRead", 100: "auth",
    101: "setWatches", 102: "sasl", 103: "getEphemerals", 104: "getAllChildrenNumber", 105: "setWatches2", 106: "addWatch",
    107: "whoAmI", -11: "closeSession", -10: "createSession",
}
XID_EVENT, XID_PING, XID_AUTH, XID_SET_WATCHES = -1, -2, -4, -8

ANYONE = (31, "world", "anyone")
OPEN = (ANYONE,)
NOAUTH = -102


class Closed(Exception):
    """The far side closed the connection."""


class Garbled(Exception):
    """Bytes that do not follow the protocol."""


# Writing.


def integer(value):
    return struct.pack(">i", value)


def long(value):
    return struct.pack(">q", value)


def boolean(value):
    return b"\1" if value else b"\0"


def buffer(value):
    return integer(-1) if value is None else integer(len(value)) + value


def ustring(text):
    """Bytes are taken as they are, so that they need not be UTF-8."""
    return buffer(text if text is None or isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))


def vector(items, write):
    return integer(-1) if items is None else integer(len(items)) + b"".join(map(write, items))


def acl(entries):
    return vector(entries, lambda entry: integer(entry[0]) + ustring(entry[1]) + ustring(entry[2]))


def create(path, data, entries, flags, ttl=None):
    body = ustring(path) + buffer(data) + acl(entries) + integer(flags)
    return body if ttl is None else body + long(ttl)


def multi(parts):
    """`parts`: (operation, body) of each."""
    heads = [integer(op) + boolean(False) + integer(-1) + body for op, body in parts]
    return b"".join(heads) + integer(-1) + boolean(True) + integer(-1)


def set_watches(zxid, *lists):
    """Three lists of paths for SET_WATCHES, five for SET_WATCHES2."""
    return long(zxid) + b"".join(vector(paths, ustring) for paths in lists)


# Reading.


@dataclasses.dataclass(frozen=True)
class Stat:
    czxid: int
    mzxid: int
    ctime: int
    mtime: int
    version: int
    cversion: int
    aversion: int
    owner: int
    data_length: int
    children: int
    pzxid: int

    FORMAT = ">qqqqiiiqiiq"


class Reader:
    """Takes values off the front of a body."""

    def __init__(self, body):
        self.rest = body

    def take(self, count):
        if count < 0 or len(self.rest) < count:
            raise Garbled(f"{count} bytes wanted of {len(self.rest)}")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def integer(self):
        return self.number(">i")

    def long(self):
        return self.number(">q")

    def boolean(self):
        return self.take(1) != b"\0"

    def buffer(self):
        length = self.integer()
        return None if length == -1 else self.take(length)

    def ustring(self):
        text = self.buffer()
        return None if text is None else text.decode("utf-8", "surrogatepass")

    def vector(self, read):
        count = self.integer()
        return None if count == -1 else [read() for _ in range(count)]

    def acl(self):
        return self.vector(lambda: (self.integer(), self.ustring(), self.ustring()))

    def stat(self):
        return Stat(*struct.unpack(Stat.FORMAT, self.take(struct.calcsize(Stat.FORMAT))))

    def end(self):
        if self.rest:
            raise Garbled(f"{len(self.rest)} bytes are left over")


@dataclasses.dataclass(frozen=True)
class Event:
    zxid: int
    kind: int
    state: int
    path: str


@dataclasses.dataclass(frozen=True)
class Reply:
    xid: int
    zxid: int
    code: int
    body: bytes


@dataclasses.dataclass(frozen=True)
class Welcome:
    """A ConnectResponse."""

    protocol: int
    timeout: int
    session: int
    password: bytes
    read_only: bool | None


def _decode_multi(reader):
    results = []
    while True:
        kind, done, code = reader.integer(), reader.boolean(), reader.integer()
        if done:
            return results
        match kind:
            case -1:
                results.append(("error", code, reader.integer()))
            case 1:
                results.append(("create", code, reader.ustring()))
            case 15:
                results.append(("create2", code, reader.ustring(), reader.stat()))
            case 5:
                results.append(("setData", code, reader.stat()))
            case 2 | 13:
                results.append((NAMES[kind], code))
            case 4:
                results.append(("getData", code, reader.buffer(), reader.stat()))
            case 8:
                results.append(("getChildren", code, reader.vector(reader.ustring)))
            case _:
                raise Garbled(f"a result of type {kind}")


def decode(op, body):
    """The values of a reply without an error."""
    reader = Reader(body)
    match op:
        case 1:
            values = (reader.ustring(),)
        case 15 | 19 | 21:
            values = (reader.ustring(), reader.stat())
        case 3 | 5 | 7:
            values = (reader.stat(),)
        case 4 | 16:
            values = (reader.buffer(), reader.stat())
        case 6:
            values = (reader.acl(), reader.stat())
        case 8 | 103:
            values = (reader.vector(reader.ustring),)
        case 12:
            values = (reader.vector(reader.ustring), reader.stat())
        case 9:
            values = (reader.ustring(),)
        case 14 | 22:
            values = (_decode_multi(reader),)
        case 104 | 106:
            values = (reader.integer(),)
        case 107:
            values = (reader.vector(lambda: (reader.ustring(), reader.ustring())),)
        case 102:
            values = (reader.buffer(),)
        case _:
            values = ()
    reader.end()
    return values


class Connection:
    """One session on one connection."""

    def __init__(self, port, session=0, password=bytes(16), timeout=40_000, last_zxid=0, read_only=False, limit=30.0):
        self.socket = socket.create_connection((HOST, port), timeout=limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending, self.at = b"", 0
        self.xid = 0
        # Each with the number of replies that came before it since they were last taken.
        self.events, self.answered = [], 0
        body = integer(0) + long(last_zxid) + integer(timeout) + long(session) + buffer(password)
        self.send(body if read_only is None else body + boolean(read_only))
        self.welcome = self._welcome()

    def _welcome(self):
        reader = Reader(self.frame())
        head = (reader.integer(), reader.integer(), reader.long(), reader.buffer())
        return Welcome(*head, reader.boolean() if reader.rest else None)

    def send(self, payload):
        try:
            self.socket.sendall(integer(len(payload)) + payload)
        except OSError as error:
            raise Closed from error

    def frame(self):
        length = Reader(self._exactly(4)).integer()
        if not 0 <= length < 1 << 26:
            raise Garbled(f"a frame of {length} bytes")
        return self._exactly(length)

    def _exactly(self, count):
        if len(self.pending) - self.at < count:
            self._fill(count)
        self.at += count
        return self.pending[self.at - count : self.at]

    def _fill(self, count):
        chunks, have = [self.pending[self.at :]], len(self.pending) - self.at
        while have < count:
            try:
                chunk = self.socket.recv(1 << 18)
            except ConnectionError as error:
                raise Closed from error
            if not chunk:
                raise Closed
            chunks.append(chunk)
            have += len(chunk)
        self.pending, self.at = b"".join(chunks), 0

    def request(self, op, body=b"", xid=None):
        """Sends one request; answers its xid."""
        return self.requests([(op, body, xid)])[0]

    def requests(self, several):
        """Sends requests, (operation, body, xid or None), in one piece; answers their xids."""
        xids, frames = [], []
        for op, body, xid in several:
            if xid is None:
                self.xid += 1
                xid = self.xid
            xids.append(xid)
            frames.append(struct.pack(">iii", len(body) + 8, xid, op) + body)
        try:
            self.socket.sendall(b"".join(frames))
        except OSError as error:
            raise Closed from error
        return xids

    def reply(self):
        """The next reply; events on the way are kept in `events`."""
        while True:
            reader = Reader(self.frame())
            reply = Reply(reader.integer(), reader.long(), reader.integer(), reader.rest)
            if reply.xid != XID_EVENT:
                self.answered += 1
                return reply
            values = Reader(reply.body)
            event = Event(reply.zxid, values.integer(), values.integer(), values.ustring())
            self.events.append((self.answered, event))

    def call(self, op, body=b"", xid=None):
        sent = self.request(op, body, xid)
        reply = self.reply()
        if reply.xid != sent:
            raise Garbled(f"reply {reply.xid} to request {sent}")
        return reply

    def must(self, op, body=b""):
        """The values of the reply to a request that has to succeed."""
        reply = self.call(op, body)
        if reply.code:
            raise Garbled(f"{NAMES[op]} answered {reply.code}")
        return decode(op, reply.body)

    def ping(self):
        return self.call(PING, xid=XID_PING).zxid

    def take_events(self):
        """(replies before it, event) of each event since the last call."""
        events, self.events, self.answered = self.events, [], 0
        return events

    def finish(self):
        """Closes the session in order."""
        try:
            self.call(CLOSE_SESSION)
        except Closed:
            pass
        self.drop()

    def drop(self):
        self.socket.close()


@dataclasses.dataclass(frozen=True)
class Node:
    data: bytes | None
    acl: tuple
    stat: Stat
    children: tuple


def walk(connection, path="/"):
    """Every node from `path` down: {path: Node}, children sorted; NOAUTH where this client may not look."""
    tree, left = {}, [path]
    while left:
        here = left.pop()
        reply = connection.call(GET_DATA, ustring(here) + boolean(False))
        if reply.code == NOAUTH:
            tree[here] = NOAUTH
            continue
        data, stat = decode(GET_DATA, reply.body)
        entries, _ = connection.must(GET_ACL, ustring(here))
        children, _ = connection.must(GET_CHILDREN2, ustring(here) + boolean(False))
        names = tuple(sorted(children))
        tree[here] = Node(data, tuple(sorted(entries)), stat, names)
        left.extend(here.rstrip("/") + "/" + name for name in names)
    return tree


def password(session):
    """What every server gives out for a session: java.util.Random over a constant."""
    mask, seed = (1 << 48) - 1, session ^ 0xB3415C00
    state, out = (seed ^ 0x5DEECE66D) & mask, b""
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & mask
        out += struct.pack("<I", state >> 16)
    return out
