"""The shortest part of a stream that still shows a difference, as far as a bounded time finds it."""

import time

from steps import lines, smaller

SECONDS = 150
# Lines that are shown of it.
SHOWN = 60


def text(played, shows):
    """`shows` plays steps on empty trees and answers what differs, or None."""
    end = time.monotonic() + SECONDS
    found, told = _suffix(played, shows, end)
    if found is None:
        return _tell("the newest of it (the difference did not come again from empty trees)", played[-12:], None)
    for attempt in (_without_chunks, _with_less):
        found, told = attempt(found, told, shows, end)
    return _tell(f"these {len(found)} steps show it again", found, told)


def _suffix(played, shows, end):
    size = 4
    while time.monotonic() < end:
        steps = played[-size:]
        if told := shows(steps):
            return steps, told
        if size >= len(played):
            break
        size *= 4
    return None, None


def _without_chunks(found, told, shows, end):
    size = max(len(found) // 2, 1)
    while True:
        at = 0
        while at < len(found) and time.monotonic() < end:
            left = found[:at] + found[at + size :]
            again = shows(left) if left else None
            if again:
                found, told = left, again
            else:
                at += size
        if size == 1 or time.monotonic() > end:
            return found, told
        size = max(size // 2, 1)


def _with_less(found, told, shows, end):
    """Takes requests out of batches."""
    for at in range(len(found)):
        shrunk = True
        while shrunk and time.monotonic() < end:
            shrunk = False
            for step in smaller(found[at]):
                if time.monotonic() > end:
                    break
                left = [*found[:at], step, *found[at + 1 :]]
                if again := shows(left):
                    found, told, shrunk = left, again, True
                    break
    return found, told


def _tell(what, steps, told):
    every = list(lines(steps))
    cut = [f"({len(every) - SHOWN} lines before)"] if len(every) > SHOWN else []
    behind = [f"and end in: {told}"] if told else []
    return "\n".join([f"  {what}:", *("    " + line for line in [*cut, *every[-SHOWN:], *behind])])
