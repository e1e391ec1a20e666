"""What kazoo's users do, with kazoo as it is: nodes, transactions, access lists, chroots, recipes."""

import threading
import uuid

from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
)
from kazoo.recipe.cache import TreeCache
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, make_acl, make_digest_acl
from kazoo.protocol.states import EventType

from flows.check import Broken, equal, eventually, holds, raises

LIMIT = 30


def nodes(stage):
    """create of all four kinds, set, get, exists, delete, children, versions"""
    client, root = stage.client(), stage.room()
    equal(client.create(root, b"first"), root, "create")
    raises(NodeExistsError, lambda: client.create(root), "a second create")
    raises(NoNodeError, lambda: client.create(f"{root}/a/b"), "create without a parent")
    equal(client.create(f"{root}/s-", sequence=True), f"{root}/s-0000000000", "sequential create")
    path, stat = client.create(f"{root}/e-", b"xy", ephemeral=True, sequence=True, include_data=True)
    equal(path, f"{root}/e-0000000001", "ephemeral sequential create")
    equal((stat.ephemeralOwner, stat.dataLength), (client.client_id[0], 2), "its Stat")
    equal(client.set(root, b"second", version=0).version, 1, "version after set")
    raises(BadVersionError, lambda: client.set(root, b"third", version=0), "set with an old version")
    data, stat = client.get(root)
    equal((data, stat.version, stat.numChildren, stat.cversion), (b"second", 1, 2, 2), "get")
    equal(client.exists(f"{root}/none"), None, "exists of nothing")
    raises(NotEmptyError, lambda: client.delete(root), "delete of a node with children")
    children, stat = client.get_children(root, include_data=True)
    equal(sorted(children), ["e-0000000001", "s-0000000000"], "children")
    equal(client.sync(root), root, "sync")
    client.delete(root, recursive=True)
    equal(client.exists(root), None, "exists after a recursive delete")


def transactions(stage):
    """a transaction that commits, and one that rolls back"""
    client, root = stage.client(), stage.room()
    client.create(root)
    good = client.transaction()
    good.create(f"{root}/a", b"1")
    good.check(f"{root}/a", 0)
    good.set_data(f"{root}/a", b"2")
    good.create(f"{root}/b-", sequence=True)
    good.delete(f"{root}/a")
    results = good.commit()
    equal(results[0], f"{root}/a", "the create of a transaction")
    equal((results[1], results[2].version), (True, 1), "its check and its set")
    equal(results[3], f"{root}/b-0000000001", "its sequential create")
    bad = client.transaction()
    bad.create(f"{root}/c")
    bad.delete(f"{root}/none")
    bad.create(f"{root}/d")
    kinds = [type(result) for result in bad.commit()]
    holds(kinds[0] is RolledBackError and kinds[1] is NoNodeError, f"a failed transaction: {kinds}")
    equal(client.get_children(root), ["b-0000000001"], "children after it")


def chroot(stage):
    """a client below a path sees and names nothing above it"""
    outside, root = stage.client(), stage.room()
    outside.create(root)
    inside = stage.client(chroot=root)
    inside.sync("/")
    equal(inside.create("/a/b", b"x", makepath=True), "/a/b", "create below the chroot")
    equal(outside.get(f"{root}/a/b")[0], b"x", "the same node from outside")
    equal(inside.create("/a/s-", sequence=True), "/a/s-0000000001", "a sequential name")
    events = []
    inside.get("/a/b", watch=events.append)
    outside.set(f"{root}/a/b", b"y")
    eventually("an event below the chroot", lambda: events)
    equal((events[0].type, events[0].path), (EventType.CHANGED, "/a/b"), "the event")
    equal(inside.get_children("/"), ["a"], "children of the root")


def access_lists(stage):
    """set_acls with versions, schemes that nobody knows, hidden digests"""
    client, root = stage.client(), stage.room()
    client.create(root)
    acls, stat = client.get_acls(root)
    equal((acls, stat.aversion), (OPEN_ACL_UNSAFE, 0), "the list of a new node")
    wanted = [make_digest_acl("joe", "secret", all=True), make_acl("world", "anyone", read=True, admin=True)]
    equal(client.set_acls(root, wanted, version=0).aversion, 1, "version after set_acls")
    raises(BadVersionError, lambda: client.set_acls(root, wanted, version=0), "set_acls with an old version")
    raises(NoNodeError, lambda: client.set_acls(f"{root}/none", wanted), "set_acls of nothing")
    raises(InvalidACLError, lambda: client.set_acls(root, [make_acl("nosuch", "x", all=True)]), "an unknown scheme")
    raises(InvalidACLError, lambda: client.set_acls(root, CREATOR_ALL_ACL), "`auth` without an identity")
    acls, _ = client.get_acls(root)
    equal(sorted(acls), sorted(wanted), "the list that was set, seen by one with ADMIN")


def identities(stage):
    """add_auth with a digest, CREATOR_ALL_ACL, and a stranger who may not read"""
    mine, stranger, root = stage.client(), stage.client(), stage.room()
    holds(mine.add_auth("digest", "joe:secret"), "add_auth was refused")
    mine.create(root, b"private", acl=CREATOR_ALL_ACL)
    acls, _ = mine.get_acls(root)
    equal(acls, [make_digest_acl("joe", "secret", all=True)], "what CREATOR_ALL_ACL became")
    equal(mine.get(root)[0], b"private", "get with the identity")
    raises(NoAuthError, lambda: stranger.get(root), "get by a stranger")
    again = stage.client(auth_data=[("digest", "joe:secret")])
    equal(again.get(root)[0], b"private", "get by another session with that identity")


def locks(stage):
    """Lock, ReadLock, WriteLock, Semaphore: contended from three servers"""
    clients, root = stage.clients_on_each(), stage.room()
    held, most, log = [], [], []

    def work(client, index):
        for _ in range(3):
            with client.Lock(f"{root}/lock", str(index)):
                held.append(index)
                most.append(len(held))
                log.append(index)
                held.remove(index)

    in_parallel([lambda c=c, i=i: work(c, i) for i, c in enumerate(clients)])
    equal((len(log), max(most)), (9, 1), "rounds done, and holders at once")
    first, second = clients[:2]
    lock, blocked = first.Lock(f"{root}/lock", "a"), second.Lock(f"{root}/lock", "b")
    lock.acquire()
    equal(blocked.acquire(blocking=False), False, "a lock that is held")
    equal(second.Lock(f"{root}/lock").contenders(), ["a"], "its contenders")
    first.stop()  # the session ends, and the lock with it
    holds(blocked.acquire(timeout=LIMIT), "the lock outlives the session that held it")
    blocked.release()
    readers = [client.ReadLock(f"{root}/shared") for client in clients[1:]]
    holds(all(one.acquire(timeout=LIMIT) for one in readers), "two readers at once")
    writer = clients[1].WriteLock(f"{root}/shared")
    equal(writer.acquire(blocking=False), False, "a writer beside readers")
    for one in readers:
        one.release()
    holds(writer.acquire(timeout=LIMIT), "a writer alone")
    semaphores = [clients[1].Semaphore(f"{root}/semaphore", max_leases=2) for _ in range(3)]
    got = [one.acquire(blocking=False) for one in semaphores]
    equal(got, [True, True, False], "leases of a semaphore for two")


def election(stage):
    """Election: one leads at a time, and each leads in its turn"""
    clients, root = stage.clients_on_each(), stage.room()
    leading, terms = [], []

    def lead(index):
        leading.append(index)
        terms.append((index, len(leading)))
        leading.remove(index)

    in_parallel([lambda c=c, i=i: c.Election(root, str(i)).run(lead, i) for i, c in enumerate(clients)])
    equal(sorted(terms), [(0, 1), (1, 1), (2, 1)], "who led, and how many at once")


def counters(stage):
    """Counter: increments from three servers all count"""
    clients, root = stage.clients_on_each(), stage.room()

    def count(client):
        counter = client.Counter(root)
        for _ in range(10):
            counter += 1

    in_parallel([lambda c=c: count(c) for c in clients])
    clients[0].sync(root)
    equal(clients[0].Counter(root).value, 30, "the sum")


def queues(stage):
    """Queue and LockingQueue: each entry goes to one taker"""
    first, second, _ = stage.clients_on_each()
    root = stage.room()
    queue = first.Queue(f"{root}/plain")
    for entry, priority in ((b"later", 200), (b"a", 100), (b"b", 100), (b"urgent", 1)):
        queue.put(entry, priority=priority)
    second.sync(root)
    taken = [second.Queue(f"{root}/plain").get() for _ in range(4)]
    equal(taken, [b"urgent", b"a", b"b", b"later"], "the order of a queue")
    locking = first.LockingQueue(f"{root}/locking")
    locking.put_all([b"x", b"y"])
    mine, theirs = first.LockingQueue(f"{root}/locking"), second.LockingQueue(f"{root}/locking")
    got = {mine.get(timeout=LIMIT), theirs.get(timeout=LIMIT)}
    equal(got, {b"x", b"y"}, "entries of a locking queue")
    holds(mine.consume() and theirs.consume(), "both entries are consumed")
    equal(len(mine), 0, "entries left")


def parties(stage):
    """Party and ShallowParty: who joined, who left, whose session ended"""
    clients, root = stage.clients_on_each(), stage.room()
    for kind in ("Party", "ShallowParty"):
        members = [getattr(c, kind)(f"{root}/{kind}", f"m{i}") for i, c in enumerate(clients)]
        for member in members:
            member.join()
        eventually("all to have joined", lambda: sorted(members[0]) == ["m0", "m1", "m2"])
        members[1].leave()
        eventually("one to have left", lambda: sorted(members[0]) == ["m0", "m2"])
    clients[2].stop()
    eventually("the ended session to have left", lambda: sorted(members[0]) == ["m0"])


def barriers(stage):
    """Barrier and DoubleBarrier"""
    clients, root = stage.clients_on_each(), stage.room()
    barrier = clients[0].Barrier(f"{root}/barrier")
    barrier.create()
    clients[1].sync(root)
    equal(clients[1].Barrier(f"{root}/barrier").wait(timeout=0.2), False, "a barrier that stands")
    passed = threading.Event()
    waiter = threading.Thread(target=lambda: clients[1].Barrier(f"{root}/barrier").wait(LIMIT) and passed.set())
    waiter.start()
    barrier.remove()
    waiter.join(LIMIT)
    holds(passed.is_set(), "nobody passed the barrier that was removed")
    inside = []

    def meet(client, index):
        double = client.DoubleBarrier(f"{root}/double", 3, str(index))
        double.enter()
        inside.append(index)
        eventually("all to be inside", lambda: len(inside) == 3)
        double.leave()

    in_parallel([lambda c=c, i=i: meet(c, i) for i, c in enumerate(clients)])


def caches(stage):
    """TreeCache follows a tree"""
    writer, reader = stage.client(), stage.client()
    root = stage.room()
    writer.create(f"{root}/a", b"1", makepath=True)
    reader.sync(root)
    cache = TreeCache(reader, root)
    cache.start()
    try:
        eventually("the first content", lambda: data_in(cache, f"{root}/a") == b"1")
        writer.set(f"{root}/a", b"2")
        writer.create(f"{root}/a/b", b"3")
        eventually("a change", lambda: data_in(cache, f"{root}/a") == b"2")
        eventually("a new node", lambda: data_in(cache, f"{root}/a/b") == b"3")
        writer.delete(f"{root}/a/b")
        eventually("a node to go", lambda: cache.get_data(f"{root}/a/b") is None)
    finally:
        cache.close()


def data_in(cache, path):
    node = cache.get_data(path)
    return node.data if node else None


def partitions(stage):
    """SetPartitioner: two members share a set"""
    first, second, _ = stage.clients_on_each()
    root = stage.room()
    shares = [c.SetPartitioner(root, set=tuple("abcd"), identifier=uuid.uuid4().hex, time_boundary=0.3) for c in (first, second)]
    in_parallel([lambda s=s: settle(s) for s in shares])
    parts = [set(share) for share in shares]
    holds(parts[0] | parts[1] == set("abcd") and not parts[0] & parts[1], f"shares: {parts}")
    for share in shares:
        share.finish()


def settle(share):
    def acquired():
        if share.release:
            share.release_set()
        elif share.allocating:
            share.wait_for_acquire(0.5)
        holds(not share.failed, "the partitioner failed")
        return share.acquired and len(set(share)) == 2

    eventually("a share of two", acquired)


def in_parallel(jobs):
    """Runs each in a thread; the first failure is that of the flow."""
    failures = []

    def guarded(job):
        try:
            job()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    if failures:
        raise failures[0]
    if any(thread.is_alive() for thread in threads):
        raise Broken("a client hangs")


FLOWS = [
    nodes,
    transactions,
    chroot,
    access_lists,
    identities,
    locks,
    election,
    counters,
    queues,
    parties,
    barriers,
    caches,
    partitions,
]
