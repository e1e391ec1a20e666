"""What an application does with a session, one thing after the other, and that each is as it should be.

An exercise answers how often it did what it is named for, and raises Trouble where a promise breaks.
"""

import struct
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.protocol.states import EventType
from kazoo.retry import KazooRetry

from flows.raw import CLOSE, Lost, RawClient, text
from quorum.server import HOST, Trouble, leader_of, until

SESSION_SECONDS = 8
# Asked for by the client that falls silent; within the limits of the servers' tickTime.
SHORT_SESSION_MS = 2000
CREATE, EPHEMERAL = 1, 1


def connect(hosts):
    again = KazooRetry(max_tries=-1, delay=0.02, backoff=1.5, max_delay=0.2)
    bounded = KazooRetry(max_tries=-1, delay=0.02, backoff=1.5, max_delay=0.2, deadline=30)
    client = KazooClient(
        hosts=hosts, timeout=SESSION_SECONDS, connection_retry=again, command_retry=bounded
    )
    client.start(timeout=30)
    return client


def end(client):
    client.stop()
    client.close()


def insist(holds, what):
    if not holds:
        raise Trouble(what)


def refuses(error, action):
    try:
        action()
    except error:
        return True
    return False


def node_types(client, rounds):
    """Persistent, ephemeral, sequential, and both."""
    session = client.client_id[0]
    for index in range(rounds):
        room = f"/types/{index}"
        client.ensure_path(room)
        for ephemeral in (False, True):
            plain = client.create(f"{room}/e{ephemeral:d}", ephemeral=ephemeral)
            first, second = (
                client.create(f"{room}/s{ephemeral:d}-", ephemeral=ephemeral, sequence=True) for _ in "12"
            )
            insist(int(first[-10:]) < int(second[-10:]), f"{second} was given after {first}")
            owner = session if ephemeral else 0
            for path in (plain, first, second):
                insist(client.exists(path).ephemeralOwner == owner, f"{path} has another owner")
        insist(len(client.get_children(room)) == 6, f"{room} does not list its six nodes")
    return rounds * 6


def versions(client, rounds):
    """A write with the right version, and refusals of wrong ones."""
    path = client.create("/versions", b"0")
    for version in range(rounds):
        wrong = version + 1
        insist(
            refuses(BadVersionError, lambda: client.set(path, b"never", version=wrong)),
            f"a set with version {wrong} was taken at {version}",
        )
        stat = client.set(path, b"%d" % version, version=version)
        insist(stat.version == version + 1, f"version {stat.version} follows {version}")
    insist(
        refuses(BadVersionError, lambda: client.delete(path, version=0)), "a delete of the past was taken"
    )
    return 2 * rounds + 1


def multis(client, rounds):
    """All or nothing."""
    client.create("/multi")
    for index in range(rounds):
        good = client.transaction()
        good.create(f"/multi/{index}")
        good.set_data("/multi", b"%d" % index)
        good.check("/multi", index + 1)
        answers = good.commit()
        insist(not any(isinstance(answer, Exception) for answer in answers), f"refused: {answers}")
        bad = client.transaction()
        bad.create(f"/multi/never-{index}")
        bad.delete(f"/multi/nobody-{index}")
        answers = bad.commit()
        insist(isinstance(answers[1], NoNodeError), f"a multi that cannot be done answers {answers}")
        insist(client.exists(f"/multi/never-{index}") is None, "half of a multi took effect")
    return 2 * rounds


def watches(client, other, rounds):
    """Each kind is told once, of what another client did."""
    client.create("/watch")
    for index in range(rounds):
        told = []
        path = f"/watch/{index}"
        client.exists(path, watch=told.append)
        client.get_children("/watch", watch=told.append)
        other.create(path)
        until("events of a create", 10, lambda: len(told) == 2 or None)
        client.get(path, watch=told.append)
        other.set(path, b"new")
        until("the event of a set", 10, lambda: len(told) == 3 or None)
        client.get(path, watch=told.append)
        other.delete(path)
        until("the event of a delete", 10, lambda: len(told) == 4 or None)
        kinds = sorted(event.type for event in told)
        wanted = sorted([EventType.CREATED, EventType.CHILD, EventType.CHANGED, EventType.DELETED])
        insist(kinds == wanted, f"{path} was told as {kinds}")
    return 4 * rounds


def create_ephemeral(raw, path):
    acl = struct.pack(">ii", 1, 31) + text("world") + text("anyone")
    body = text(path) + struct.pack(">i", 0) + acl + struct.pack(">i", EPHEMERAL)
    _, _, code, _ = raw.call(1, CREATE, body)
    insist(code == 0, f"the ephemeral {path} was refused with {code}")


def resumed(place, before):
    """`None` where that server has not seen yet what the session has: it closes the connection."""
    try:
        return RawClient(place, before=before)
    except Lost:
        return None


def reconnects(client, hosts, rounds):
    """A connection is dropped, and the session goes on over another server, with what is its own."""
    places = hosts.split(",")
    for index in range(rounds):
        path = f"/reconnected-{index}"
        raw = RawClient(places[index % 3])
        create_ephemeral(raw, path)
        for hop in range(1, 3):
            raw.drop()
            place, before = places[(index + hop) % 3], raw
            again = until(f"{place} to take the session", 10, lambda: resumed(place, before))
            insist(again.session == raw.session, f"session {raw.session:#x} became {again.session:#x}")
            raw = again
            client.sync("/")
            stat = client.exists(path)
            insist(stat and stat.ephemeralOwner == raw.session, f"{path} went with its connection")
        raw.call(1, CLOSE)
        raw.drop()
        client.sync("/")
        insist(client.exists(path) is None, f"{path} outlives its session")
    return 2 * rounds


def expiry(client, hosts, rounds):
    """A client falls silent: its ephemeral node goes, and not before its time."""
    for index in range(rounds):
        path = f"/short-lived-{index}"
        silent = RawClient(hosts.split(",")[0], timeout_ms=SHORT_SESSION_MS)
        create_ephemeral(silent, path)
        start = time.monotonic()
        silent.drop()
        until(f"the end of {path}", 30, lambda: True if client.exists(path) is None else None)
        lived = time.monotonic() - start
        # Expiry is never early: half of the timeout would be.
        insist(lived > silent.timeout_ms / 2000, f"{path} was gone after {lived:.2f} s")
    return rounds


def server_of(client, recorder, servers):
    """The server behind the recorder that this client is attached to."""
    port = client._connection._socket.getpeername()[1]
    number = next(number for number, known in recorder.ports.items() if known == port)
    return next(server for server in servers if server.number == number)


def reattach(recorder, servers, rounds):
    """The server of a session is killed: the session goes on elsewhere, and keeps what is its own."""
    for index in range(rounds):
        client = connect(recorder.hosts())
        try:
            path = client.create(f"/kept-{index}", ephemeral=True)
            session = client.client_id[0]
            home = server_of(client, recorder, servers)
            home.kill()
            until("another leader", 30, lambda: leader_of(servers))
            stat = client.retry(client.exists, path)
            insist(client.client_id[0] == session, "the session is another one after a kill of its server")
            insist(stat is not None and stat.ephemeralOwner == session, f"{path} is gone after a kill")
            insist(server_of(client, recorder, servers) is not home, "attached to a server that is dead")
            home.start()
            until("the killed server to follow", 30, home.mode)
        finally:
            end(client)
    return rounds


def sequence_over_leaders(client, servers, rounds):
    """Names rise over changes of leader, and none is given twice."""
    client.ensure_path("/line")
    names = []
    for _ in range(rounds):
        names += [sequential(client) for _ in range(10)]
        leader = until("a leader", 30, lambda: leader_of(servers))
        leader.kill()
        names += [sequential(client) for _ in range(10)]
        leader.start()
        until("the killed leader to follow", 30, leader.mode)
    numbers = [int(name[-10:]) for name in names]
    insist(numbers == sorted(set(numbers)), f"names do not rise: {numbers}")
    return rounds


def sequential(client):
    return client.retry(client.create, "/line/n-", sequence=True)


def paused_leader(client, servers, rounds):
    """A leader is stopped in its tracks: another one leads, and what the first one wakes up to is the past."""
    client.ensure_path("/pause")
    for index in range(rounds):
        leader = until("a leader", 30, lambda: leader_of(servers))
        rest = [server for server in servers if server is not leader]
        leader.pause()
        try:
            until("another leader", 30, lambda: leader_of(rest))
            write_once(client, f"/pause/{index}")
        finally:
            leader.resume()
        until("the paused one to follow", 30, lambda: leader.mode() == "follower" or None)
        seen = connect(f"{HOST}:{leader.client_port}")
        try:
            seen.sync("/")
            insist(seen.exists(f"/pause/{index}"), "a leader that was paused misses a write behind a sync")
        finally:
            end(seen)
    return rounds


def write_once(client, path):
    try:
        client.retry(client.create, path)
    except NodeExistsError:
        pass  # an attempt whose answer was lost
