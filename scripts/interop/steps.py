"""A stream for both sides, step by step: batches of requests, and what becomes of connections between them."""

import dataclasses
import random
import re

from operations import ALONE, BATCHED, Operation, Operations

LONG_RUN = re.compile(r"(\\x..|.)\1{15,}")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Requests of one session, all on their way at once."""

    operations: tuple


@dataclasses.dataclass(frozen=True)
class Reconnect:
    """A new connection for the session. `move`: so many servers further on."""

    slot: int
    how: str
    move: int


@dataclasses.dataclass(frozen=True)
class Leave:
    """The session loses its connection and stays away for some steps."""

    slot: int


@dataclasses.dataclass(frozen=True)
class Return:
    """It comes back and sets watches. `back`: it had seen all but so many transactions when it left."""

    slot: int
    move: int
    watched: Operation
    back: int

    def watch(self, left):
        """The request, where the newest zxid at the time of leaving was `left`."""
        body = self.watched.body
        return dataclasses.replace(self.watched, body=lambda _, translate: body(max(left - self.back, 0), translate))


@dataclasses.dataclass(frozen=True)
class Expire:
    slot: int


class Steps:
    """Draws steps from a seed."""

    def __init__(self, seed, sessions, servers, without=()):
        self.random = random.Random(f"{seed} steps")
        self.operations = Operations(seed, sessions, ensemble=servers > 1, without=without)
        self.sessions, self.servers = sessions, servers
        self.batched, self.alone = ([one for one in draws if one[0].__name__ not in without] for draws in (BATCHED, ALONE))

    def created(self, path):
        self.operations.created(path)

    def one(self, away, limit):
        """The next step, of a session that is not away unless it returns; at most `limit` requests."""
        here = [slot for slot in range(self.sessions) if slot not in away]
        if away and self.random.random() < 0.15:
            slot = self.random.choice(sorted(away))
            return Return(slot, self._move(), self.watches(slot), self.random.choice((0, 0, 0, 3, 20)))
        roll = self.random.random()
        if roll < 0.02:
            how = self.random.choice(("rightly", "rightly", "a wrong password", "from the future"))
            return Reconnect(self.random.choice(here), how, self._move())
        if roll < 0.05 and len(here) > 2:
            return Leave(self.random.choice(here))
        if roll < 0.051:
            return Expire(self.random.choice(here))
        session = self.random.choice(here)
        if roll < 0.55:
            return Batch((self.operations.one(session, self.alone),))
        count = min(self.random.randrange(2, 60), limit)
        return Batch(tuple(dataclasses.replace(self.operations.one(session, self.batched), burst=count > 1) for _ in range(count)))

    def watches(self, slot):
        return self.operations.set_watches(slot, back=0)

    def _move(self):
        return self.random.randrange(self.servers)


def describe(cause):
    """One request, or one step, in a line."""
    if not isinstance(cause, Operation):
        return repr(cause)
    body = repr(cause.body) if isinstance(cause.body, bytes) else "(depends on the zxid)"
    return f"{cause.label} (operation {cause.op}) of session {cause.session}: {LONG_RUN.sub(_run, body)}"


def _run(found):
    """One byte many times over, in a few characters."""
    return f"{found[1]}<{len(found[0]) // len(found[1])} times>"


def lines(steps):
    """A line for each request, and for each step that is none."""
    for step in steps:
        match step:
            case Batch(operations):
                yield from (("  " if operation.burst else "") + describe(operation) for operation in operations)
            case Return(slot, move, watched, back):
                yield f"Return(slot={slot}, move={move}, {watched.label}, back={back})"
            case _:
                yield describe(step)


def smaller(step):
    """The step with fewer requests, if it has several."""
    if isinstance(step, Batch) and len(step.operations) > 1:
        operations = step.operations
        for size in (len(operations) // 2, 1):
            for start in range(0, len(operations), size):
                left = operations[:start] + operations[start + size :]
                if left:
                    yield Batch(left if len(left) > 1 else (dataclasses.replace(left[0], burst=False),))
            if size == 1:
                return
