"""A load that leaves a trace of everything that a data folder can hold: nodes of every kind, access
lists, multis that succeed and fail, large data, deletions, sessions that are open, closed and lost."""

import dataclasses
import threading

import zkwire
from zkwire import Connection, ustring

TIMEOUT = 1_800_000
# Readers may look at the list too: a server hides the digests of others.
DIGEST = ((31, "digest", "ann:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="), (17, "world", "anyone"))
LARGE = 500_000


@dataclasses.dataclass
class Sessions:
    """Who must still be known by whoever opens the folder, and who must not."""

    living: list = dataclasses.field(default_factory=list)
    closed: list = dataclasses.field(default_factory=list)


def write(port, root, sessions, apache):
    """`root` must be new. `apache`: the server also takes containers and TTL nodes."""
    with_kinds = Connection(port, timeout=TIMEOUT)
    with_kinds.must(zkwire.CREATE, zkwire.create(root, b"root", zkwire.OPEN, 0))
    _kinds(with_kinds, root, apache)
    _multis(with_kinds, root)
    _changes(with_kinds, root)
    _many(port, root)
    # Its connection is lost, its session and its ephemerals live on.
    sessions.living.append((with_kinds.welcome.session, with_kinds.welcome.password))
    with_kinds.drop()
    ended = Connection(port, timeout=TIMEOUT)
    ended.must(zkwire.CREATE, zkwire.create(f"{root}/gone", b"", zkwire.OPEN, 1))
    sessions.closed.append((ended.welcome.session, ended.welcome.password))
    ended.finish()


def _kinds(client, root, apache):
    for data, name in ((None, "null"), (b"", "empty"), (b"x", "one"), (b"z" * LARGE, "large")):
        client.must(zkwire.CREATE, zkwire.create(f"{root}/{name}", data, zkwire.OPEN, 0))
    for flags in (1, 2, 3):
        client.must(zkwire.CREATE2, zkwire.create(f"{root}/kind{flags}-", b"k", zkwire.OPEN, flags))
    client.must(zkwire.CREATE, zkwire.create(f"{root}/\u00e9\u4e2d", b"", DIGEST, 0))
    client.must(zkwire.CREATE, zkwire.create(f"{root}/listed", b"", (zkwire.ANYONE, (5, "ip", "10.1.0.0/16")), 0))
    if apache:
        client.must(zkwire.CREATE_CONTAINER, zkwire.create(f"{root}/container", b"", zkwire.OPEN, 4))
        client.must(zkwire.CREATE, zkwire.create(f"{root}/container/child", b"", zkwire.OPEN, 0))
        client.must(zkwire.CREATE_TTL, zkwire.create(f"{root}/ttl", b"", zkwire.OPEN, 5, ttl=1_000_000_000))
        client.must(zkwire.CREATE_TTL, zkwire.create(f"{root}/ttl-", b"", DIGEST, 6, ttl=1))


def _multis(client, root):
    new, old = f"{root}/multi", f"{root}/one"
    client.must(zkwire.MULTI, zkwire.multi([]))
    client.must(
        zkwire.MULTI,
        zkwire.multi([
            (zkwire.CHECK, ustring(old) + zkwire.integer(0)),
            (zkwire.CREATE, zkwire.create(new, b"m", zkwire.OPEN, 0)),
            (zkwire.CREATE2, zkwire.create(f"{new}/below-", b"m", zkwire.OPEN, 2)),
            (zkwire.CREATE, zkwire.create(f"{new}/kept", b"m", zkwire.OPEN, 4)),
            (zkwire.SET_DATA, ustring(old) + zkwire.buffer(b"set") + zkwire.integer(0)),
            (zkwire.DELETE, ustring(f"{root}/null") + zkwire.integer(-1)),
        ]),
    )  # fmt: skip
    failing = [(zkwire.CREATE, zkwire.create(f"{root}/never", b"", zkwire.OPEN, 0)), (zkwire.DELETE, ustring("/no") + zkwire.integer(-1))]
    client.must(zkwire.MULTI, zkwire.multi(failing))


def _changes(client, root):
    client.must(zkwire.SET_ACL, ustring(f"{root}/empty") + zkwire.acl(DIGEST) + zkwire.integer(0))
    for version in range(5):
        client.must(zkwire.SET_DATA, ustring(f"{root}/large") + zkwire.buffer(b"y" * (1000 * version)) + zkwire.integer(version))
    client.must(zkwire.DELETE, ustring(f"{root}/listed") + zkwire.integer(0))
    client.call(zkwire.DELETE, ustring(f"{root}/listed") + zkwire.integer(0))
    client.call(zkwire.SET_DATA, ustring(f"{root}/one") + zkwire.buffer(b"") + zkwire.integer(99))


def _many(port, root, writers=3, each=150):
    """Enough for several snapshots while writes go on: those of Apache are fuzzy then."""
    threads = [threading.Thread(target=_writer, args=(port, f"{root}/w{number}", each)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _writer(port, root, each):
    client = Connection(port, timeout=TIMEOUT)
    client.must(zkwire.CREATE, zkwire.create(root, b"", zkwire.OPEN, 0))
    for number in range(each):
        client.request(zkwire.CREATE, zkwire.create(f"{root}/n{number}", b"d" * (number % 90), zkwire.OPEN, number % 7 == 3))
        client.request(zkwire.SET_DATA, ustring(f"{root}/n{number // 2}") + zkwire.buffer(b"%d" % number) + zkwire.integer(-1))
        if number % 5 == 0:
            client.request(zkwire.DELETE, ustring(f"{root}/n{number // 3}") + zkwire.integer(-1))
        client.request(zkwire.CREATE, zkwire.create(f"{root}/s-", b"", zkwire.OPEN, 2))
    sent = 3 * each + (each + 4) // 5
    for _ in range(sent):
        client.reply()
    client.finish()
