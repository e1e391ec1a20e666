"""Watches over a reconnect: kazoo's recipes when their server is killed, and SetWatches itself."""

import struct

from kazoo.protocol.states import EventType, KazooState

from flows.check import equal, eventually, holds
from flows.raw import SET_WATCHES, SYNC, RawClient, text, texts

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4


def one_shot(stage):
    """each kind of change is told once, to clients of every server"""
    clients, root = stage.clients_on_each(), stage.room()
    writer = clients[0]
    writer.create(root)
    writer.create(f"{root}/a")
    told = []
    for client in clients:
        client.sync(root)
        client.exists(f"{root}/new", watch=told.append)
        client.get(f"{root}/a", watch=told.append)
        client.get_children(root, watch=told.append)
    writer.set(f"{root}/a", b"1")
    writer.set(f"{root}/a", b"2")
    writer.create(f"{root}/new")
    writer.delete(f"{root}/a")
    kinds = (EventType.CHANGED, EventType.CREATED, EventType.CHILD)
    eventually("nine events", lambda: len(told) >= 9)
    for client in clients:
        client.sync(root)
    for kind in kinds:
        equal(sum(event.type == kind for event in told), 3, f"events of type {kind}")


def over_reconnect(stage):
    """DataWatch and ChildrenWatch go on when the server of their client is killed"""
    ensemble, root = stage.ensemble, stage.room()
    victim, *others = ensemble.seats
    writer = stage.client(seats=others)
    writer.create(root, b"1")
    watcher = stage.client(seats=[victim, *others], randomize_hosts=False)
    watcher.sync(root)
    data, children, states = [], [], []
    watcher.DataWatch(root, lambda value, stat: data.append(value))
    watcher.ChildrenWatch(root, lambda names: children.append(sorted(names)))
    watcher.add_listener(states.append)
    session = watcher.client_id[0]
    equal((data, children), ([b"1"], [[]]), "what the watches saw first")
    ensemble.kill(victim)
    writer.set(root, b"2")
    writer.create(f"{root}/child")
    eventually("the data behind the kill", lambda: data[-1] == b"2")
    eventually("the child behind the kill", lambda: children[-1] == ["child"])
    holds(KazooState.SUSPENDED in states and KazooState.LOST not in states, f"states: {states}")
    equal(watcher.client_id[0], session, "the session on another server")
    ensemble.start(victim)
    ensemble.wait_for_all()
    writer.set(root, b"3")
    eventually("the data after all that", lambda: data[-1] == b"3")


def set_watches(stage):
    """SetWatches tells what was missed, with zxid -1, and watches the rest"""
    root = stage.room()
    writer = stage.client()
    writer.create(root)
    for name in ("changed", "deleted", "same", "with-child", "gone", "quiet"):
        writer.create(f"{root}/{name}")
    first, second, _ = stage.ensemble.seats
    raw = RawClient(first.address)
    raw.call(1, SYNC, text(root))
    relative = raw.seen
    raw.drop()
    writer.set(f"{root}/changed", b"x")
    writer.delete(f"{root}/deleted")
    writer.create(f"{root}/created")
    writer.create(f"{root}/with-child/child")
    writer.delete(f"{root}/gone")

    again = RawClient(second.address, before=raw)
    equal(again.session, raw.session, "the session on another server")
    again.call(2, SYNC, text(root))
    data, exist, child = ("changed", "deleted", "same"), ("created", "never"), ("with-child", "gone", "quiet")
    lists = b"".join(texts([f"{root}/{name}" for name in names]) for names in (data, exist, child))
    again.request(-8, SET_WATCHES, struct.pack(">q", relative) + lists)
    missed = [("changed", CHANGED), ("deleted", DELETED), ("created", CREATED), ("with-child", CHILDREN), ("gone", DELETED)]
    for name, kind in missed:
        equal(again.event(), (-1, kind, f"{root}/{name}"), "what was missed")
    xid, zxid, code, body = again.reply()
    equal((xid, code, body, zxid > relative), (-8, 0, b"", True), "the reply")
    again.call(3, SYNC, text(root))

    writer.set(f"{root}/same", b"x")
    writer.create(f"{root}/never")
    writer.create(f"{root}/quiet/child")
    for name, kind in (("same", CHANGED), ("never", CREATED), ("quiet", CHILDREN)):
        zxid, *event = again.event()
        equal((event, zxid > relative), ([kind, f"{root}/{name}"], True), "what came later")
    again.drop()


FLOWS = [one_shot, over_reconnect, set_watches]
