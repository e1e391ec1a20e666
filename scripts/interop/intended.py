"""The differences between Apache ZooKeeper 3.9.5 and Vivarium that are wanted, as far as a client's requests show
them. Each stands in docs/compatibility.md too, with its reason and its switch."""

import dataclasses
import re
import typing

import zkwire
from operations import Operation
from sides import Outcome

# Settings of ours under which the run is made: the switches of what differs on purpose and can be switched back.
SWITCHED_BACK = {
    # Persistent watches are told what they missed.
    "eventHistory": 0,
    # A reply to a read that no client of Java's would take is an error.
    "reply.bounded": "false",
    # A sequence that is used up refuses.
    "sequence.bounded": "false",
}
# What is not asked for, because ours does not serve it yet: names of draws in operations.py.
NOT_OFFERED = ()
# In what order Java's hash tables give things is of no meaning; compared is what they hold.
ORDER = "T13: names of children come in the order of a hash table there, sorted here"
CLOSE_ORDER = "T13: the ephemerals of a session go in the order of a hash set there, sorted here"
IDENTITY_ORDER = "T13: the identities of a session come in the order of a hash set there, in that of their arrival here"


@dataclasses.dataclass(frozen=True)
class Intended:
    """A difference that is wanted. `listed`: how its line in docs/compatibility.md begins. `shifts`: Apache may have
    logged one transaction that ours has not."""

    name: str
    listed: str
    reason: str
    # The operation, and both outcomes in comparable form.
    matches: typing.Callable[[Operation, Outcome, Outcome], bool]
    shifts: bool = False


def _is(trap, code):
    """Ours answers `code` to an operation of this trap, whatever Apache does."""
    return lambda operation, apache, ours: operation.traps == trap and ours.code == code


def _echo(operation, apache, ours):
    """The same path in other characters: one U+FFFD for several bytes, or two surrogates for one character."""
    if operation.op != zkwire.SYNC or apache.code or ours.code:
        return False
    plain = [(outcome.values[0] or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace") for outcome in (apache, ours)]
    paths = [re.sub("\ufffd+", "\ufffd", path) for path in plain]
    return paths[0] == paths[1] and apache.zxid == ours.zxid


def _empty_path(operation, apache, ours):
    reads = (zkwire.EXISTS, zkwire.GET_DATA, zkwire.GET_CHILDREN, zkwire.GET_CHILDREN2, zkwire.GET_ACL, zkwire.COUNT_CHILDREN)
    return operation.op in reads and operation.body[:4] == bytes(4) and apache.code == 0 and ours.code == -101


INTENDED = (
    Intended(
        "T24",
        "`createSession` and `deleteContainer` are taken from clients (T24)",
        "createSession and deleteContainer are for servers among themselves: refused from clients as unknown",
        lambda operation, apache, ours: _is("T24", -6)(operation, apache, ours) and ours.closed,
        shifts=True,
    ),
    Intended(
        "T30",
        "a container by way of `create` or `create2` becomes a plain node",
        "Apache makes a plain node of a container that comes by create or create2, and logs the digest of another: refused",
        _is("T30", -8),
    ),
    Intended(
        "T31",
        "`createContainer` with other flags than a container's is logged",
        "Apache logs a create whose operation, flags and TTL contradict each other, under the digest of another node: refused",
        _is("T31", -8),
    ),
    Intended(
        "T2",
        "a body that cannot be read is logged as an error",
        "a body that cannot be read: Apache logs an error, for a multi under a zxid of its own; ours is answered and not logged",
        lambda operation, apache, ours: ours.code == -5 and dataclasses.replace(apache, zxid=ours.zxid) == ours,
        shifts=True,
    ),
    Intended(
        "empty path",
        "a read of the empty path finds the root",
        "a read of the empty path finds the root there, by the table's key for it; no client asks for it: no node",
        _empty_path,
    ),
    Intended(
        "echo",
        "`sync` sends back a path beyond U+FFFF as two surrogates",
        "sync sends back a path that no node can have: ours as UTF-8, Java's as its own kind of it",
        _echo,
    ),
)  # fmt: skip
