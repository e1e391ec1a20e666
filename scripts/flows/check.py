"""How a flow says what it expected."""

import time


class Broken(Exception):
    """A client did not get what it must."""


def equal(got, expected, what):
    if got != expected:
        raise Broken(f"{what}: got {got!r}, expected {expected!r}")


def holds(condition, what):
    if not condition:
        raise Broken(what)


def raises(kind, action, what):
    """The action must fail in just this way."""
    try:
        got = action()
    except kind:
        return
    except Exception as error:
        raise Broken(f"{what}: {error!r}, expected {kind.__name__}") from error
    raise Broken(f"{what}: got {got!r}, expected {kind.__name__}")


def eventually(what, ask, limit=30.0):
    """Asks until the answer is true; answers it."""
    end = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Broken(f"waited {limit:g} s in vain for {what}")
        time.sleep(0.02)
