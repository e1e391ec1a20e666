"""Apache's own zkCli, as it is: one session that types command after command."""

import re
import subprocess

from apache import CLI, SMALL, java
from jars import Jars

from flows.check import Broken, equal, holds

# The content of a node whose `get` stands behind each command, to tell the answers apart.
DIVIDER = "-- the end of an answer --"
# What it prints besides answers: log lines, and events of the connection.
NOISE = re.compile(r"^(\d{4}-\d\d-\d\dT.*|WATCHER::|WatchedEvent .*|)$")


def answers(stage, divider, commands):
    """Runs the commands in one session; answers the lines that each printed."""
    typed = "".join(f"{command}\nget {divider}\n" for command in commands) + "quit\n"
    line = [java(), *SMALL, "-Xmx192m", "-Dzookeeper.sasl.client=false", "-cp", Jars().classpath()]
    line += [CLI, "-server", stage.hosts()]
    done = subprocess.run(line, input=typed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    parts = done.stdout.split(f"{DIVIDER}\n")
    if len(parts) != len(commands) + 1 or done.returncode != 0:
        raise Broken(f"zkCli ended with {done.returncode} after {len(parts) - 1} of {len(commands)} commands:\n{done.stdout}")
    lines = [[line for line in part.splitlines() if not NOISE.match(line)] for part in parts]
    # The greeting is in front of the first answer.
    lines[0] = lines[0][-1:]
    return dict(zip(commands, lines))


def zkcli(stage):
    """create -e -s, ls, get -s, set, stat, getAcl, setAcl, delete, deleteall, sync, ls -R, version, addauth"""
    root = stage.room()
    client = stage.client()
    client.create("/divider", DIVIDER.encode())
    client.sync("/")
    acl = "world:anyone:cdrwa,digest:joe:hash:r"
    script = [
        (f"create {root} one", [f"Created {root}"]),
        (f"create -e -s {root}/e- x", [f"Created {root}/e-0000000000"]),
        (f"ls {root}", ["[e-0000000000]"]),
        (f"get -s {root}", stat_lines("one", version=0, length=3, children=1)),
        (f"set {root} three", []),
        (f"set -v 0 {root} old", [f"version No is not valid : {root}"]),
        (f"get {root}", ["three"]),
        (f"stat {root}", stat_lines(version=1, length=5, children=1)),
        (f"getAcl {root}", ["'world,'anyone", ": cdrwa"]),
        (f"setAcl {root} {acl}", []),
        (f"getAcl -s {root}", stat_lines("'world,'anyone", ": cdrwa", "'digest,'joe:hash", ": r", version=1, aversion=1)),
        (f"sync {root}", ["Sync is OK"]),
        (f"create {root}/a", [f"Created {root}/a"]),
        (f"create {root}/a/b b", [f"Created {root}/a/b"]),
        (f"ls -R {root}", [root, f"{root}/a", f"{root}/e-0000000000", f"{root}/a/b"]),
        (f"delete {root}/a", [f"Node not empty: {root}/a"]),
        (f"delete {root}/a/b", []),
        (f"create {root}/a/c c", [f"Created {root}/a/c"]),
        (f"deleteall {root}/a", []),
        (f"ls {root}/a", [f"Node does not exist: {root}/a"]),
        ("addauth digest joe:secret", []),
        (f"create {root}/own mine auth::cdrwa", [f"Created {root}/own"]),
        (f"getAcl {root}/own", ["'digest,'joe:oesAybBun9icKJjQSTRN8OBueSc=", ": cdrwa"]),
        ("version", [re.compile("ZooKeeper CLI version: 3.9.5-.*")]),
    ]
    got = answers(stage, "/divider", [command for command, _ in script])
    for command, expected in script:
        matches(got[command], expected, command)
    client.sync(root)
    equal(sorted(client.get_children(root)), ["own"], "children after quit: the ephemeral is gone")


def stat_lines(*head, version, length=None, children=None, aversion=0):
    """The lines in front of a Stat, and those of it that are known."""
    known = {"dataVersion": version, "aclVersion": aversion, "dataLength": length, "numChildren": children, "ephemeralOwner": "0x0"}
    keys = ["cZxid", "ctime", "mZxid", "mtime", "pZxid", "cversion", *known]
    order = ["cZxid", "ctime", "mZxid", "mtime", "pZxid", "cversion", "dataVersion", "aclVersion", "ephemeralOwner", "dataLength", "numChildren"]
    assert set(keys) == set(order)
    value = lambda key: re.escape(str(known[key])) if known.get(key) is not None else ".+"  # noqa: E731
    return [*head, *(re.compile(f"{key} = {value(key)}") for key in order)]


def matches(got, expected, command):
    fits = len(got) == len(expected) and all(
        want.fullmatch(line) if isinstance(want, re.Pattern) else want == line for line, want in zip(got, expected)
    )
    shown = [want.pattern if isinstance(want, re.Pattern) else want for want in expected]
    holds(fits, f"`{command}` printed {got}, expected {shown}")


FLOWS = [zkcli]
