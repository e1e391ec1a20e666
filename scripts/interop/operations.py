"""Random client operations from a seed: legal ones, refused ones and malformed ones."""

import dataclasses
import random
import struct
import typing

import zkwire
from zkwire import boolean, integer, ustring

# A node that only the trap T30 touches, so that what it leaves behind is apart from all else.
TRAP = "/t30"
MAX_FRAME = 0xFFFFF

VALID_ACLS = (
    zkwire.OPEN,
    zkwire.OPEN,
    zkwire.OPEN,
    (zkwire.ANYONE, zkwire.ANYONE),
    (zkwire.ANYONE, (1, "ip", "127.0.0.1")),
    (zkwire.ANYONE, (31, "digest", "ann:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")),
    ((15, "world", "anyone"), (16, "world", "anyone")),
    (zkwire.ANYONE, (0, "ip", "10.0.0.0/8")),
)
INVALID_ACLS = (
    (),
    None,
    ((31, "world", "nobody"),),
    (zkwire.ANYONE, (31, "auth", "")),
    ((31, "digest", "no colon"),),
    ((31, "ip", "300.1.1.1"),),
    ((31, "ip", "10.0.0.0/33"),),
    ((31, "bogus", "x"),),
    (zkwire.ANYONE, (31, "bogus", "x")),
    ((31, None, None),),
)
BAD_PATHS = (
    "", "a", "/a/", "//", "/a//b", "/a/./b", "/a/..", "/.", "/nul\0", "/ctl\x01", "/del\x7f", "/c1\x9f",
    "/\ud800", "/\ue000", "/\ufff0", "/\U0001f600", b"/\xff\xfe", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/",
    "/no/such/parent", "/a/b/c/d/e/f/g", "/" + "x" * 3000,
)  # fmt: skip
IDENTITIES = (("digest", b"ann:secret"), ("digest", b"bob:"), ("digest", b"no colon"), ("bogus", b"x"), ("world", b"anyone"),
              ("ip", b"127.0.0.1"), ("auth", b""), ("", b""))  # fmt: skip
UNKNOWN_OPERATIONS = (-12, -5, -2, 0, 10, 13, 23, 50, 99, 108, 1000, 1 << 30)
TTL_FLAGS, CONTAINER_FLAG = (5, 6), 4


@dataclasses.dataclass(frozen=True)
class Operation:
    """One request of one session. `body` may depend on the last zxid of Apache, and on what an earlier one
    of it is on the side that it is sent to."""

    session: int
    label: str
    op: int
    body: bytes | typing.Callable[[int, typing.Callable[[int], int]], bytes] = b""
    xid: int | None = None
    malformed: bool = False
    traps: str = ""
    # Sent together with others of the session, before any of them was answered.
    burst: bool = False

    def body_for(self, zxid, translate):
        return self.body(zxid, translate) if callable(self.body) else self.body


class Operations:
    """Draws operations. It learns which nodes there are, so that most requests meet one."""

    def __init__(self, seed, sessions):
        self.random, self.sessions = random.Random(seed), sessions
        self.made = []
        names = ["a", "b", "c", "\u00e9"]
        self.pool = [f"/{x}" for x in names]
        self.pool += [f"/{x}/{y}" for x in names for y in names]
        self.pool += [f"/{x}/{y}/{z}" for x in names[:2] for y in names[:2] for z in names]

    def created(self, path):
        """A node has this name now; sequential ones are known from here alone."""
        if path.startswith(TRAP):
            return
        self.made.append(path)
        del self.made[:-40]

    def one(self, session=None):
        session = self.random.randrange(self.sessions) if session is None else session
        draw = self.random.choices([weight[0] for weight in WEIGHTS], [weight[1] for weight in WEIGHTS])[0]
        return draw(self, session)

    def _path(self):
        roll = self.random.random()
        if roll < 0.05:
            return self.random.choice(BAD_PATHS)
        if roll < 0.25 and self.made:
            return self.random.choice(self.made)
        return self.random.choice(self.pool)

    def _data(self):
        size = self.random.choice((None, 0, 1, 10, 100, 3000))
        if self.random.random() < 0.005:
            size = self.random.choice((300_000, 1_000_000))
        return None if size is None else bytes([self.random.randrange(256)]) * size

    def _acl(self):
        return self.random.choice(INVALID_ACLS if self.random.random() < 0.06 else VALID_ACLS)

    def _version(self):
        return self.random.choice((-1, -1, -1, -1, 0, 0, 1, 2, 3, 7, -2, 2**31 - 1))

    def _flags(self):
        return self.random.choice((0,) * 8 + (1,) * 5 + (2,) * 3 + (3,) * 3 + TTL_FLAGS + (7, -1, 255))

    def _create_body(self, flags):
        path = self._path()
        if flags in (2, 3, 6) and isinstance(path, str):
            path = self.random.choice((path + "-", path + "/", path + "/n-"))
        return zkwire.create(path, self._data(), self._acl(), flags)

    def create(self, session):
        op = self.random.choice((zkwire.CREATE, zkwire.CREATE, zkwire.CREATE2))
        return Operation(session, zkwire.NAMES[op], op, self._create_body(self._flags()))

    def container_by_create(self, session):
        op = self.random.choice((zkwire.CREATE, zkwire.CREATE2))
        body = zkwire.create(f"{TRAP}/{self.random.randrange(1 << 30)}", b"", zkwire.OPEN, CONTAINER_FLAG)
        return Operation(session, f"{zkwire.NAMES[op]} of a container", op, body, traps="T30")

    def delete(self, session):
        return Operation(session, "delete", zkwire.DELETE, ustring(self._path()) + integer(self._version()))

    def set_data(self, session):
        body = ustring(self._path()) + zkwire.buffer(self._data()) + integer(self._version())
        return Operation(session, "setData", zkwire.SET_DATA, body)

    def read(self, session):
        op = self.random.choice((zkwire.EXISTS, zkwire.GET_DATA, zkwire.GET_CHILDREN, zkwire.GET_CHILDREN2))
        watch = self.random.random() < 0.5
        label = zkwire.NAMES[op] + (" with watch" if watch else "")
        return Operation(session, label, op, ustring(self._path()) + boolean(watch))

    def get_acl(self, session):
        return Operation(session, "getACL", zkwire.GET_ACL, ustring(self._path()))

    def set_acl(self, session):
        path = self._path()
        # Nobody may close a door that the rest of the run goes through.
        entries = self._acl()
        return Operation(session, "setACL", zkwire.SET_ACL, ustring(path) + zkwire.acl(entries) + integer(self._version()))

    def sync(self, session):
        return Operation(session, "sync", zkwire.SYNC, ustring(self._path()))

    def ping(self, session):
        return Operation(session, "ping", zkwire.PING, xid=zkwire.XID_PING)

    def set_watches(self, session):
        back = self.random.choice((0, 0, 5, 50, 1 << 40))
        data, exist, child = ([self.random.choice(self.pool) for _ in range(self.random.randrange(4))] for _ in range(3))

        def body(zxid, translate):
            return zkwire.set_watches(translate(max(zxid - back, 0)), data, exist, child)

        return Operation(session, "setWatches", zkwire.SET_WATCHES, body, xid=zkwire.XID_SET_WATCHES)

    def set_watches2(self, session):
        back = self.random.choice((0, 0, 5, 50, 1 << 40))
        lists = [[self.random.choice(self.pool) for _ in range(self.random.randrange(3))] for _ in range(5)]

        def body(zxid, translate):
            return zkwire.set_watches(translate(max(zxid - back, 0)), *lists)

        return Operation(session, "setWatches2", zkwire.SET_WATCHES2, body, xid=zkwire.XID_SET_WATCHES)

    def add_watch(self, session):
        mode = self.random.choice((0, 0, 0, 1, 1, 1, 2, -1))
        path = "/" if self.random.random() < 0.1 else self._path()
        return Operation(session, "addWatch", zkwire.ADD_WATCH, ustring(path) + integer(mode))

    def ask_watches(self, session):
        """Checks, or removes; most of what there is to find is watched by reads."""
        op = self.random.choice((zkwire.CHECK_WATCHES, zkwire.REMOVE_WATCHES, zkwire.REMOVE_WATCHES))
        kind = self.random.choice((1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 0, 6))
        return Operation(session, zkwire.NAMES[op], op, ustring(self._path()) + integer(kind))

    def auth(self, session):
        scheme, proof = self.random.choice(IDENTITIES)
        body = integer(0) + ustring(scheme) + zkwire.buffer(proof)
        return Operation(session, "auth", zkwire.AUTH, body, xid=zkwire.XID_AUTH)

    def sasl(self, session):
        return Operation(session, "sasl", zkwire.SASL, zkwire.buffer(self.random.choice((b"", b"token"))))

    def _part(self):
        kind = self.random.choice((1, 1, 15, 2, 2, 5, 5, 13, 13))
        match kind:
            case 1 | 15:
                return kind, self._create_body(self.random.choice((0, 0, 0, 1, 2, 3, 4)))
            case 5:
                return kind, ustring(self._path()) + zkwire.buffer(self._data()) + integer(self._version())
            case _:
                return kind, ustring(self._path()) + integer(self._version())

    def _multi_body(self):
        return zkwire.multi([self._part() for _ in range(self.random.choice((0, 1, 1, 2, 2, 3, 4, 6)))])

    def multi(self, session):
        return Operation(session, "multi", zkwire.MULTI, self._multi_body())

    def malformed(self, session):
        """A legal body, damaged: cut off, with bytes behind it, or with a length that cannot be."""
        whole = self.random.choice(DAMAGED)(self, session)
        body = bytearray(whole.body)
        # An access list with another number in it would close a door that the run goes through.
        match self.random.randrange(2 if whole.op in GUARDED else 3):
            case 0:
                body = body[: self.random.randrange(len(body))] if body else body
            case 1:
                body += bytes(self.random.randrange(256) for _ in range(self.random.randrange(1, 9)))
            case _ if len(body) >= 4:
                at = self.random.choice((0, self.random.randrange(len(body) - 3)))
                body[at : at + 4] = struct.pack(">i", self.random.choice((-1, -2, 0, 1, 1 << 20, 2**31 - 1, -(2**31))))
        return dataclasses.replace(whole, label=f"malformed {whole.label}", body=bytes(body), malformed=True)

    def unknown(self, session):
        op = self.random.choice(UNKNOWN_OPERATIONS)
        label = "check alone" if op == zkwire.CHECK else "unknown operation"
        return Operation(session, label, op, self.random.choice((b"", ustring("/a") + integer(-1))))

    def internal(self, session):
        if self.random.random() < 0.5:
            return Operation(session, "deleteContainer", zkwire.DELETE_CONTAINER, ustring(f"{TRAP}/none"), traps="T24")
        return Operation(session, "createSession", zkwire.CREATE_SESSION, integer(3_000_000), traps="T24")

    def longest_frame(self, session):
        """A frame at the limit, or one byte beyond it."""
        over = self.random.randrange(2)
        head = ustring("/a")
        fill = MAX_FRAME + over - 8 - len(head) - 4 - 4
        body = head + zkwire.buffer(b"z" * fill) + integer(-1)
        return Operation(session, "frame beyond the limit" if over else "frame at the limit", zkwire.SET_DATA, body)

    def close(self, session):
        return Operation(session, "closeSession", zkwire.CLOSE_SESSION)


GUARDED = (zkwire.CREATE, zkwire.CREATE2, zkwire.SET_ACL, zkwire.MULTI)
DAMAGED = (Operations.create, Operations.delete, Operations.set_data, Operations.read, Operations.get_acl, Operations.set_acl,
           Operations.sync, Operations.multi)  # fmt: skip
WEIGHTS = (
    (Operations.create, 260),
    (Operations.container_by_create, 4),
    (Operations.delete, 110),
    (Operations.set_data, 110),
    (Operations.read, 230),
    (Operations.get_acl, 25),
    (Operations.set_acl, 35),
    (Operations.sync, 15),
    (Operations.ping, 10),
    (Operations.set_watches, 25),
    (Operations.set_watches2, 15),
    (Operations.add_watch, 40),
    (Operations.ask_watches, 60),
    (Operations.auth, 12),
    (Operations.sasl, 3),
    (Operations.multi, 90),
    (Operations.malformed, 35),
    (Operations.unknown, 8),
    (Operations.internal, 4),
    (Operations.longest_frame, 2),
    (Operations.close, 12),
)
