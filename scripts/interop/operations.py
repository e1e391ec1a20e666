"""Random client operations from a seed: legal ones, refused ones and malformed ones."""

import dataclasses
import random
import struct
import typing

import zkwire
from zkwire import boolean, integer, ustring

# A node that only the traps T24, T30 and T31 touch, so that what they leave behind is apart from all else.
TRAP = "/t30"
# What lies below it has a quota. Apache checks quotas against what is applied already, so that the answer to
# a burst is a matter of time: one request at a time goes there.
QUOTA = "/q"
MAX_FRAME = 0xFFFFF
# The session that is the super user's.
SUPERS = 0

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
SUPER, ANN, BOB = (("digest", word) for word in (b"super:test", b"ann:secret", b"bob:"))
ANNS, BOBS = "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=", "bob:tK1fpNO1hB0F++FhHpSq0Fa4tv0="
# Doors that are closed to some. The super user among the sessions opens them again.
CLOSED_ACLS = (
    ((31, "digest", ANNS),),
    ((31, "digest", ANNS), (1, "world", "anyone")),
    ((31, "digest", BOBS), (4, "world", "anyone"), (1, "digest", ANNS)),
    ((2, "world", "anyone"),),
    ((16, "world", "anyone"), (15, "digest", BOBS)),
    ((27, "world", "anyone"),),
    ((23, "world", "anyone"), (8, "digest", ANNS)),
    ((31, "ip", "127.0.0.0/8"),),
    ((31, "ip", "127.0.0.1/32"), (1, "world", "anyone")),
    ((31, "ip", "10.0.0.0/8"),),
    ((31, "auth", ""),),
    ((31, "auth", "whoever"), (1, "world", "anyone")),
)
INVALID_ACLS = (
    (),
    None,
    ((31, "world", "nobody"),),
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
IDENTITIES = (ANN, BOB, ("digest", b"no colon"), ("bogus", b"x"), ("world", b"anyone"),
              ("ip", b"127.0.0.1"), ("auth", b""), ("", b""))  # fmt: skip
UNKNOWN_OPERATIONS = (-12, -5, -2, 0, 10, 13, 23, 50, 99, 108, 1000, 1 << 30)
TTL_FLAGS, CONTAINER_FLAG = (5, 6), 4
TTLS = (1_000_000_000, 1_000_000_000, (1 << 40) - 1, 1 << 40, 0, -1, -2, 1 << 62)
MEMBERS = (None, b"", b"server.5=127.0.0.1:1:2:participant;127.0.0.1:3", b"5", b"x=")


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

    def __init__(self, seed, sessions, ensemble=False, without=()):
        self.random, self.sessions = random.Random(seed), sessions
        self.ensemble = ensemble
        self.damaged = [draw for draw in DAMAGED + (() if ensemble else DAMAGED_ALONE) if draw.__name__ not in without]
        self.made = []
        names = ["a", "b", "c", "\u00e9"]
        self.pool = [f"/{x}" for x in names]
        self.pool += [f"/{x}/{y}" for x in names for y in names]
        self.pool += [f"/{x}/{y}/{z}" for x in names[:2] for y in names[:2] for z in names]

    def created(self, path):
        """A node has this name now; sequential ones are known from here alone."""
        if path.startswith((TRAP, QUOTA, "/zookeeper/")):
            return
        self.made.append(path)
        del self.made[:-40]

    def one(self, session, draws):
        draw = self.random.choices([draw for draw, _ in draws], [weight for _, weight in draws])[0]
        # Only the super user may open every door; for all others it is a setACL like any other.
        if draw is Operations.open_door and session != SUPERS:
            draw = Operations.set_acl
        return draw(self, session)

    def _path(self):
        roll = self.random.random()
        if roll < 0.05:
            return self.random.choice(BAD_PATHS)
        if roll < 0.25 and self.made:
            return self.random.choice(self.made)
        return self.random.choice(self.pool)

    def _data(self):
        size = self.random.choice((None, 0, 1, 10, 100, 1000))
        return None if size is None else bytes([self.random.randrange(256)]) * size

    def _acl(self, closing=0.0):
        roll = self.random.random()
        if roll < closing:
            return self.random.choice(CLOSED_ACLS)
        return self.random.choice(INVALID_ACLS if roll > 0.94 else VALID_ACLS)

    def _version(self):
        return self.random.choice((-1, -1, -1, -1, 0, 0, 1, 2, 3, 7, -2, 2**31 - 1))

    def _flags(self):
        return self.random.choice((0,) * 8 + (1,) * 5 + (2,) * 3 + (3,) * 3 + TTL_FLAGS + (7, -1, 255))

    def _create_body(self, flags, in_multi=False):
        acl = self._acl(closing=0.08)
        if in_multi and self.ensemble and acl is None:
            # A multi with it cannot be read: see DAMAGED_ALONE.
            acl = ()
        path = self._path()
        if flags in (2, 3, 6) and isinstance(path, str):
            path = self.random.choice((path + "-", path + "/", path + "/n-"))
        return zkwire.create(path, self._data(), acl, flags)

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
        # The root stays open: the rest of the run goes through it.
        entries = self._acl(closing=0.3 if path != "/" else 0.0)
        return Operation(session, "setACL", zkwire.SET_ACL, ustring(path) + zkwire.acl(entries) + integer(self._version()))

    def sync(self, session):
        return Operation(session, "sync", zkwire.SYNC, ustring(self._path()))

    def ping(self, session):
        return Operation(session, "ping", zkwire.PING, xid=zkwire.XID_PING)

    def set_watches(self, session, back=None):
        """`back`: the client saw all but the newest that many transactions."""
        back = self.random.choice((0, 0, 5, 50, 1 << 40)) if back is None else back
        op = self.random.choice((zkwire.SET_WATCHES, zkwire.SET_WATCHES2))
        lists = 3 if op == zkwire.SET_WATCHES else 5
        watched = [[self.random.choice(self.pool) for _ in range(self.random.randrange(4))] for _ in range(lists)]

        def body(zxid, translate):
            return zkwire.set_watches(translate(max(zxid - back, 0)), *watched)

        return Operation(session, zkwire.NAMES[op], op, body, xid=zkwire.XID_SET_WATCHES)

    def add_watch(self, session):
        mode = self.random.choice((0, 0, 0, 1, 1, 1, 2, -1))
        path = "/" if self.random.random() < 0.1 else self._path()
        return Operation(session, "addWatch", zkwire.ADD_WATCH, ustring(path) + integer(mode))

    def change_watches(self, session):
        op = self.random.choice((zkwire.CHECK_WATCHES, zkwire.REMOVE_WATCHES))
        kind = self.random.choice((1, 2, 3, 3, 4, 5, 0, 6))
        return Operation(session, zkwire.NAMES[op], op, ustring(self._path()) + integer(kind))

    def container(self, session):
        return Operation(session, "createContainer", zkwire.CREATE_CONTAINER, self._create_body(CONTAINER_FLAG))

    def ttl(self, session):
        body = self._create_body(self.random.choice(TTL_FLAGS)) + zkwire.long(self.random.choice(TTLS))
        return Operation(session, "createTTL", zkwire.CREATE_TTL, body)

    def mismatched_create(self, session):
        """A create whose operation and flags contradict each other. A createTTL that does so, with a TTL of -1, is
        not among them: it is the end of Apache's server."""
        path = f"{TRAP}/{self.random.randrange(1 << 30)}"
        body = zkwire.create(path, b"", zkwire.OPEN, self.random.choice((0, 1, 2, 3)))
        return Operation(session, "createContainer of another kind", zkwire.CREATE_CONTAINER, body, traps="T31")

    def subtree(self, session):
        op = self.random.choice((zkwire.GET_EPHEMERALS, zkwire.COUNT_CHILDREN))
        return Operation(session, zkwire.NAMES[op], op, ustring(self._path()))

    def who_am_i(self, session):
        return Operation(session, "whoAmI", zkwire.WHO_AM_I)

    def _read_part(self):
        # The empty path is asked for alone: INTENDED knows it there.
        op, path = self.random.choice((zkwire.GET_DATA, zkwire.GET_CHILDREN)), self._path() or "/"
        return op, ustring(path) + boolean(self.random.random() < 0.2)

    def multi_read(self, session):
        parts = [self._read_part() for _ in range(self.random.choice((0, 1, 2, 3, 5)))]
        return Operation(session, "multiRead", zkwire.MULTI_READ, zkwire.multi(parts))

    def mixed_multi(self, session):
        """Reads among writes, and what belongs into no multi at all."""
        op = zkwire.MULTI_READ if self.ensemble else self.random.choice((zkwire.MULTI, zkwire.MULTI_READ))
        other = self.random.choice((self._part, self._read_part))
        stranger = self.random.choice(((zkwire.SYNC, ustring("/a")), (zkwire.SET_ACL, ustring("/a") + zkwire.acl(zkwire.OPEN) + integer(-1)), self._part()))
        parts = [self._read_part(), stranger, other()]
        self.random.shuffle(parts)
        return Operation(session, f"mixed {zkwire.NAMES[op]}", op, zkwire.multi(parts), malformed=True)

    def reconfig(self, session):
        texts = [self.random.choice(MEMBERS) for _ in range(3)]
        body = b"".join(map(ustring, texts)) + zkwire.long(self.random.choice((-1, 0, 7)))
        return Operation(session, "reconfig", zkwire.RECONFIG, body)

    def quota(self, session):
        """Limits, counts, and what they are about."""
        home = f"/zookeeper/quota{QUOTA}"
        count, size = self.random.randrange(-1, 9), self.random.choice((-1, 0, 100, 1000))
        limits = f"count={count},bytes={size}"
        if self.random.random() < 0.6:
            hard = (("byteHardLimit", self.random.choice((-1, 50, 500))), ("countHardLimit", self.random.randrange(-1, 6)))
            limits += "=;" + ";".join(f"{key}={limit}" for key, limit in hard)
        below = f"{QUOTA}/{self.random.randrange(4)}"
        node = self.random.choice((QUOTA, below, f"{below}/{self.random.randrange(3)}"))
        limit, stats = f"{home}/zookeeper_limits", f"{home}/zookeeper_stats"
        plain = self._sized(zkwire.CREATE, node, b"x" * self.random.choice((0, 1, 60, 400)))
        draws = (
            (plain, 8),
            ((zkwire.SET_DATA, ustring(node) + zkwire.buffer(b"y" * self.random.choice((0, 2, 70, 600))) + integer(-1)), 5),
            ((zkwire.DELETE, ustring(node) + integer(-1)), 3),
            ((zkwire.MULTI, zkwire.multi([plain, self._sized(zkwire.CREATE2, f"{below}/m", b"zz")])), 2),
            (self._sized(zkwire.CREATE, home, b""), 2),
            (self._sized(zkwire.CREATE, limit, limits.encode()), 2),
            (self._sized(zkwire.CREATE, stats, b"count=0,bytes=0"), 2),
            ((zkwire.SET_DATA, ustring(limit) + zkwire.buffer(limits.encode()) + integer(-1)), 2),
            ((zkwire.DELETE, ustring(self.random.choice((limit, stats))) + integer(-1)), 1),
            ((zkwire.GET_DATA, ustring(self.random.choice((limit, stats))) + boolean(False)), 4),
        )
        op, body = self.random.choices([one for one, _ in draws], [weight for _, weight in draws])[0]
        return Operation(session, f"{zkwire.NAMES[op]} with a quota", op, body)

    @staticmethod
    def _sized(op, path, data):
        return op, zkwire.create(path, data, zkwire.OPEN, 0)

    def open_door(self, session):
        """Takes back an access list that keeps others out; done by the super user."""
        path = self.random.choice(self.made[-40:] + self.pool)
        return Operation(session, "setACL by the super user", zkwire.SET_ACL, ustring(path) + zkwire.acl(zkwire.OPEN) + integer(-1))

    def auth(self, session):
        scheme, proof = self.random.choice(IDENTITIES)
        body = integer(0) + ustring(scheme) + zkwire.buffer(proof)
        return Operation(session, "auth", zkwire.AUTH, body, xid=zkwire.XID_AUTH)

    def sasl(self, session):
        return Operation(session, "sasl", zkwire.SASL, zkwire.buffer(self.random.choice((b"", b"token"))))

    def _part(self):
        kind = self.random.choice((1, 1, 15, 2, 2, 5, 5, 13, 13, 19, 21))
        match kind:
            case 1 | 15:
                return kind, self._create_body(self.random.choice((0, 0, 0, 1, 2, 3, 4)), in_multi=True)
            case 19:
                return kind, self._create_body(CONTAINER_FLAG, in_multi=True)
            case 21:
                return kind, self._create_body(self.random.choice(TTL_FLAGS), in_multi=True) + zkwire.long(self.random.choice(TTLS))
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
        whole = self.random.choice(self.damaged)(self, session)
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
        """A frame at the limit, or one byte beyond it; within a batch it would stand in the way of all."""
        over = self.random.randrange(2)
        head = ustring("/a")
        fill = MAX_FRAME + over - 8 - len(head) - 4 - 4
        body = head + zkwire.buffer(b"z" * fill) + integer(-1)
        return Operation(session, "frame beyond the limit" if over else "frame at the limit", zkwire.SET_DATA, body)

    def close(self, session):
        return Operation(session, "closeSession", zkwire.CLOSE_SESSION)


GUARDED = (zkwire.CREATE, zkwire.CREATE2, zkwire.CREATE_CONTAINER, zkwire.CREATE_TTL, zkwire.SET_ACL, zkwire.MULTI)
DAMAGED = (Operations.read, Operations.get_acl, Operations.multi_read, Operations.add_watch, Operations.change_watches,
           Operations.subtree)  # fmt: skip
# A body of these that cannot be read ends an ensemble of Apache's: its leader proposes the error under a zxid that is
# used already, then commits nothing any more, or its followers exit.
DAMAGED_ALONE = (Operations.create, Operations.multi, Operations.delete, Operations.set_data, Operations.set_acl, Operations.container,
                 Operations.ttl, Operations.reconfig, Operations.sync)  # fmt: skip
# Sent in batches of one session, all on their way at once. No setACL is among them: while it is on its way Apache
# still goes by the list before it, so that what follows at once is a matter of time.
BATCHED = (
    (Operations.create, 260),
    (Operations.delete, 110),
    (Operations.set_data, 110),
    (Operations.read, 230),
    (Operations.get_acl, 25),
    (Operations.sync, 15),
    (Operations.ping, 10),
    (Operations.set_watches, 25),
    (Operations.multi, 90),
    (Operations.container, 20),
    (Operations.ttl, 25),
    (Operations.multi_read, 40),
    (Operations.subtree, 25),
    (Operations.who_am_i, 8),
    (Operations.add_watch, 35),
    (Operations.change_watches, 50),
)
# Sent alone: what they do to the connection, or to the count of zxids, is looked at before the next.
ALONE = (
    (Operations.create, 60),
    (Operations.read, 40),
    (Operations.multi, 20),
    (Operations.set_acl, 50),
    (Operations.open_door, 50),
    (Operations.container_by_create, 4),
    (Operations.mismatched_create, 6),
    (Operations.auth, 20),
    (Operations.sasl, 3),
    (Operations.malformed, 60),
    (Operations.mixed_multi, 15),
    (Operations.reconfig, 8),
    (Operations.quota, 60),
    (Operations.unknown, 8),
    (Operations.internal, 4),
    (Operations.longest_frame, 2),
    (Operations.close, 12),
)
