"""What must hold when the load has ended and all servers serve: the same state everywhere, and
nothing lost of what was acknowledged."""

import re
import time

from load import QUEUE
from sessions import unknown_sessions
from tree import differences, read_tree

EXPIRY_LIMIT = 10.0
OWNER = 7  # ephemeralOwner in the order of a Stat


def judge(ensemble, load, deserters):
    """Every broken promise, in words; empty where there is none. The writers are silent. `deserters`:
    ephemerals whose sessions (id, password) must have expired."""
    seats = ensemble.seats
    _await_expiry(load.writers[0].client, deserters)
    trees, readers = zip(*(read_tree(seat) for seat in seats))
    found = differences(seats, trees)
    for seat, tree in zip(seats, trees):
        found += [f"{seat.name}: {line}" for line in _losses(tree, load)]
        found += [f"{seat.name}: {path} outlives its session" for path in deserters if path in tree]
    found += _order(load)
    closed = [*readers, *deserters.values()]
    return found + unknown_sessions(ensemble, load.identities(), closed)


def _await_expiry(client, deserters):
    """Every new leader gives every session its whole time again."""
    end = time.monotonic() + EXPIRY_LIMIT
    client.sync("/")
    while time.monotonic() < end and any(client.exists(path) for path in deserters):
        time.sleep(0.1)


def _losses(tree, load):
    found = []
    for writer in load.writers:
        for path, allowed in writer.ledger.values.items():
            got = tree[path][0] if path in tree else None
            if got not in allowed and not path.startswith(writer.short):
                found.append(f"{path} is {got!r}, acknowledged {sorted(map(repr, allowed))}")
        for path, owner in writer.ledger.ephemerals.items():
            if owner == writer.session and (path not in tree or tree[path][1][OWNER] != owner):
                found.append(f"{path} of the living session {owner:#x} is gone or has another owner")
    for idler in load.idlers:
        if idler.path not in tree or tree[idler.path][1][OWNER] != idler.session:
            found.append(f"{idler.path} is gone: its idle session {idler.session:#x} was not kept")
    alive = load.sessions()
    for path, (_, stat, _, _) in tree.items():
        if stat and stat[OWNER] and stat[OWNER] not in alive:
            found.append(f"{path} outlives its session {stat[OWNER]:#x}")
    names = set(tree.get(QUEUE, (b"", None, (), ()))[2])
    given = {path.rsplit("/", 1)[1] for writer in load.writers for _, _, path in writer.ledger.sequential}
    unknown = sum(writer.ledger.unknown_sequential for writer in load.writers)
    found += [f"{QUEUE}/{name} is missing" for name in sorted(given - names)]
    if len(names - given) > unknown:
        found.append(f"{len(names - given)} sequential names more than were asked for ({unknown} unknown)")
    return found


def _order(load):
    """Sequential names are unique, and one asked for after another was given has a higher number."""
    given = [entry for writer in load.writers for entry in writer.ledger.sequential]
    found = []
    numbers = [int(re.search(r"(-?\d+)$", path.rsplit("-", 1)[1]).group(1)) for _, _, path in given]
    if len(set(numbers)) != len(numbers):
        found.append("a sequential number was given twice")
    by_end = sorted(zip((acked for _, acked, _ in given), numbers))
    highest, index = -1, 0
    for started, number, path in sorted((entry[0], number, entry[2]) for entry, number in zip(given, numbers)):
        while index < len(by_end) and by_end[index][0] < started:
            highest, index = max(highest, by_end[index][1]), index + 1
        if number <= highest:
            found.append(f"{path} was given after number {highest} was acknowledged")
    return found
