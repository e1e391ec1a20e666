#!/usr/bin/env python3
"""Part (a): data folders both ways. Apache opens what ours wrote, ours opens what Apache wrote, with
the same tree and the same sessions; `vivarium data` says before each start whether it will succeed.

    folders.py --binary target/release/vivarium
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import damage
import everything
import zkwire
from apache import format_log, format_snapshot
from everything import Sessions
from lone import Bench, Place, apache, starts, vivarium
from report import Row, show
from trouble import BROKEN, NO_VERDICT, HarnessTrouble, Violation
from zkwire import Closed, Connection

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "core" / "tests" / "golden" / "zookeeper-3.9.5"
# Each server keeps the Stat of this node for itself.
LOCAL = "/zookeeper/config"


class Part:
    """What a chapter needs, and what it found."""

    def __init__(self, bench, name):
        self.bench, self.name = bench, name
        self.counts, self.violations = {}, []
        self.ports = tuple(bench.ports.take() for _ in range(3))
        self.started = time.monotonic()

    def place(self, name, member=False):
        return Place(self.bench.folder / "folders" / self.name.replace(" ", "-") / name, member, self.ports)

    def count(self, what, number=1):
        self.counts[what] = self.counts.get(what, 0) + number

    def wrong(self, text):
        self.violations.append(text)

    def row(self):
        return Row("a", self.name, self.counts, self.violations, time.monotonic() - self.started)


# What is asked of a folder and of a server.


def appraise(part, place, more=()):
    """The document of `vivarium data`, and its exit code."""
    command = [part.bench.binary, "data", place.data, "--standing", place.standing, "-o", "json", *more]
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise Violation(f"vivarium data ended with {done.returncode}: {done.stderr.decode()}")
    document = json.loads(done.stdout)
    if (done.returncode == 0) != (document["apache"]["starts"] is True):
        part.wrong(f"vivarium data ended with {done.returncode} and said {document['apache']['reason']}")
    part.count("folders appraised")
    return document


def state(place, sessions):
    """The tree of the server on this place, and how it takes each session."""
    reader = Connection(place.client_port, timeout=30_000)
    try:
        tree = zkwire.walk(reader)
    finally:
        reader.finish()
    answers = [(session, _answer(place, session, password)) for session, password in sessions.living]
    return tree, answers + [(0, _answer(place, *known)) for known in sessions.closed]


def _answer(place, session, password):
    """The session that the server confirms. The connection goes again, the session stays as it is."""
    try:
        connection = Connection(place.client_port, session, password, everything.TIMEOUT)
    except Closed:
        return None
    connection.drop()
    return connection.welcome.session


def compare(part, what, one, other):
    """Two states, node by node."""
    (trees, answers) = zip(one, other)
    for path in sorted(trees[0].keys() | trees[1].keys()):
        nodes = [tree.get(path) for tree in trees]
        if path == LOCAL or nodes[0] == nodes[1]:
            continue
        part.wrong(f"{what}: {path} is {nodes[0]} and {nodes[1]}")
    for expected, answer in (*answers[0], *answers[1]):
        if answer != expected:
            part.wrong(f"{what}: a session {expected:#x} is answered {answer}")
    part.count("nodes compared", len(trees[0]))
    part.count("sessions compared", len(answers[1]))


def serve(part, place, make, sessions, action=None, how="stop"):
    """Starts a server on the place, reads its state, lets `action` work, reads again, ends it."""
    server = make(place, part.bench)
    if not starts(server):
        part.wrong(f"{server.name} did not start on {place.data}; see {server.log}")
        raise Violation(f"{server.name} did not start on {place.data}")
    part.count(f"{server.name} started")
    try:
        first = last = state(place, sessions)
        if action:
            action(server)
            last = state(place, sessions)
    finally:
        code = server.stop() if how == "stop" else server.kill()
    if how == "stop" and server.name == "Vivarium" and code != 0:
        part.wrong(f"{server.name} ended with {code} after a graceful stop")
    return first, last


def must_start(part, place, document=None):
    """`vivarium data` has to say that Apache would start."""
    document = document or appraise(part, place)
    if not document["apache"]["starts"] or not document["vivarium"]["starts"]:
        part.wrong(f"{place.data}: {document['apache']['reason']} {document['vivarium']['reason']}")
    if document["tree"]["digest_agrees"] is False:
        part.wrong(f"{place.data}: the log has another tree digest")
    return document


# The chapters.


def fixtures(bench):
    """Files that an Apache server wrote on another day."""
    part, none = Part(bench, "fixtures"), Sessions()
    for name in ("standalone", "ensemble-1", "ensemble-2"):
        place = part.place(name)
        place.home.mkdir(parents=True)
        shutil.copytree(FIXTURES / name, place.data)
        (place.data / "myid").unlink(missing_ok=True)
        must_start(part, place)
        other = place.copy(place.home.with_name(f"{name}-apache"))
        ours, _ = serve(part, place, vivarium, none)
        theirs, _ = serve(part, other, apache, none)
        compare(part, name, theirs, ours)
        must_start(part, place)
    members(part, theirs)
    return part.row()


def members(part, alone):
    """Two members of three whose configuration has a version above 0: opened as members, and read."""
    none, servers, places = Sessions(), [], []
    ports = {number: [part.bench.ports.take() for _ in range(3)] for number in (1, 2, 3)}
    lines = "".join(f"server.{number}=127.0.0.1:{q}:{e}:participant;127.0.0.1:{c}\n" for number, (c, q, e) in ports.items())
    for number in (1, 2):
        place = dataclasses.replace(part.place(f"member-{number}", member=True), ports=tuple(ports[number]))
        place.home.mkdir(parents=True)
        shutil.copytree(FIXTURES / f"ensemble-{number}", place.data)
        must_start(part, place)
        server = vivarium(place, part.bench)
        server.config.write_text(server.config.read_text().replace("standaloneEnabled=false\n", "").split("server.1=")[0] + lines)
        (place.data / "myid").write_text(f"{number}\n")
        server.start()
        servers.append(server)
        places.append(place)
    try:
        for place, server in zip(places, servers):
            server.wait_serving()
            part.count("Vivarium started as a member")
            compare(part, server.name, alone, state(place, none))
    finally:
        for server in servers:
            server.stop()


def written_by_apache(bench):
    """Whatever a real server writes, snapshots under load among it; stopped, and killed."""
    part, sessions = Part(bench, "Apache writes"), Sessions()
    place = part.place("source")
    work = lambda root: lambda server: everything.write(place.client_port, root, sessions, True)  # noqa: E731
    for number, how in enumerate(("stop", "kill", "stop")):
        serve(part, place, apache, sessions, work(f"/{number}"), how)
        document = must_start(part, place)
        part.count("snapshots there", len(document["snapshots"]))
        copies = [place.copy(place.home.with_name(f"{number}-{name}")) for name in ("apache", "vivarium")]
        theirs, _ = serve(part, copies[0], apache, sessions)
        ours, _ = serve(part, copies[1], vivarium, sessions)
        compare(part, f"after a {how}", theirs, ours)
        if document["tree"]["znodes"] != len(ours[0]):
            part.wrong(f"vivarium data counts {document['tree']['znodes']} nodes, there are {len(ours[0])}")
    without_ttl(part, place, document)
    return part.row()


def without_ttl(part, place, document):
    """The warning about TTL nodes is so: Apache loses them where it does not know them."""
    copy = place.copy(place.home.with_name("without-ttl"))
    make = lambda place, bench: apache(place, bench, extendedTypesEnabled="false")  # noqa: E731
    (tree, _), _ = serve(part, copy, make, Sessions())
    lost = document["tree"]["znodes"] - len(tree)
    if lost != document["tree"]["ttls"] or not any("TTL nodes" in warning for warning in document["apache"]["warnings"]):
        part.wrong(f"of {document['tree']['ttls']} TTL nodes Apache without extendedTypesEnabled lost {lost}")
    part.count("TTL nodes that Apache without extendedTypesEnabled deletes", lost)


def written_by_ours(bench):
    """Apache's tools and servers read what ours wrote."""
    part, sessions = Part(bench, "Vivarium writes"), Sessions()
    place = part.place("source")
    for number in range(2):
        _, last = serve(part, place, vivarium, sessions, lambda _, root=f"/{number}": everything.write(place.client_port, root, sessions, False))
        must_start(part, place)
        tools(part, place)
        theirs, _ = serve(part, place.copy(place.home.with_name(f"{number}-apache")), apache, sessions)
        compare(part, "written by Vivarium", last, theirs)
    return part.row()


def tools(part, place):
    """Each file goes through Apache's own printer, and is as long there as it is to ours."""
    for file in sorted(place.version.glob("snapshot.*")):
        code, text, errors = format_snapshot(file, jars=part.bench.jars)
        listed = listing(part, file)
        nodes = sum("path" in entry for entry in listed)
        if code or text.count("\n  cZxid = ") != nodes:
            part.wrong(f"SnapshotFormatter on {file}: {code}, {text.count(chr(10) + '  cZxid = ')} nodes of {nodes} {errors}")
        part.count("snapshots printed by SnapshotFormatter")
    for file in sorted(place.version.glob("log.*")):
        code, text, errors = format_log(file, jars=part.bench.jars)
        listed, there = listing(part, file), text.count(" zxid 0x")
        if code or there != len(listed):
            part.wrong(f"TxnLogToolkit on {file}: {code}, {there} transactions of {len(listed)} {errors}")
        part.count("logs printed by TxnLogToolkit")
        part.count("transactions printed by both", there)


def listing(part, file):
    done = subprocess.run([str(part.bench.binary), "data", str(file), "-o", "json"], capture_output=True, check=False)
    if done.returncode:
        part.wrong(f"vivarium data {file}: {done.stderr.decode()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def handed_over(bench, member):
    """Apache's folder is taken over, used, and handed back, twice; the second time behind a kill."""
    part, sessions = Part(bench, "handed over and back, " + ("a quorum of one" if member else "standalone")), Sessions()
    place = part.place("data", member)
    _, before = serve(part, place, apache, sessions, lambda _: everything.write(place.client_port, "/apache", sessions, True))
    for turn, how in enumerate(("stop", "kill")):
        must_start(part, place)
        first, last = serve(
            part, place, vivarium, sessions, lambda _, root=f"/ours{turn}": everything.write(place.client_port, root, sessions, False), how
        )
        compare(part, "Apache to Vivarium", before, first)
        if how == "kill":
            after_kill(part, place, last, sessions)
        must_start(part, place)
        first, before = serve(
            part, place, apache, sessions, lambda _, root=f"/theirs{turn}": everything.write(place.client_port, root, sessions, True)
        )
        compare(part, "Vivarium to Apache", last, first)
        part.count("handed back to Apache")
    return part.row()


def after_kill(part, place, last, sessions):
    """What `vivarium data` says must be so even here; then ours is started and stopped once."""
    copy = place.copy(place.home.with_name("killed"))
    judge(part, "after kill -9", copy)
    first, _ = serve(part, place, vivarium, sessions)
    compare(part, "after kill -9", last, first)


def judge(part, name, place):
    """Whether Apache starts, and ours where it has no peers, is as `vivarium data` said."""
    document = appraise(part, place)
    again = None if place.member else place.copy(place.home.with_name(place.home.name + "-ours"))
    server = apache(place, part.bench)
    started = starts(server)
    zxid = next((line.split()[1] for line in server.word("srvr").splitlines() if line.startswith("Zxid:")), None)
    server.stop()
    part.count("Apache started" if started else "Apache refused")
    if started != document["apache"]["starts"]:
        part.wrong(f"{name}: Apache {'starts' if started else 'refuses'}, and vivarium data said: {document['apache']['reason']}")
    elif started and not place.member and int(zxid, 16) != int(document["tree"]["last_zxid"], 16):
        part.wrong(f"{name}: Apache is at {zxid}, vivarium data said {document['tree']['last_zxid']}")
    if again:
        ours = vivarium(again, part.bench)
        started = starts(ours)
        ours.stop()
        part.count("Vivarium started" if started else "Vivarium refused")
        if started != document["vivarium"]["starts"]:
            part.wrong(f"{name}: Vivarium {'starts' if started else 'refuses'}, and vivarium data said: {document['vivarium']['reason']}")


def damaged(bench):
    """Folders that something happened to."""
    part, sessions = Part(bench, "damaged folders"), Sessions()
    good = {}
    for member in (False, True):
        place = part.place("good-member" if member else "good", member)
        serve(part, place, apache, sessions, lambda _, place=place: everything.write(place.client_port, "/a", sessions, True))
        serve(part, place, apache, sessions, lambda _, place=place: everything.write(place.client_port, "/b", sessions, True), "kill")
        good[member] = place
    for number, case in enumerate(damage.CASES):
        place = good[case.member].copy(good[case.member].home.with_name(f"case{number}"))
        case.change(place.version)
        judge(part, case.name, place)
        part.count("kinds of damage")
    return part.row()


CHAPTERS = {
    "fixtures": fixtures,
    "apache": written_by_apache,
    "ours": written_by_ours,
    "standalone": lambda bench: handed_over(bench, False),
    "member": lambda bench: handed_over(bench, True),
    "damaged": damaged,
}


def run(bench, chapters=tuple(CHAPTERS)):
    rows = []
    for name in chapters:
        bench.say(f"folders: {name}")
        rows.append(CHAPTERS[name](bench))
    return rows


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="the vivarium to try")
    parser.add_argument("--chapters", nargs="*", default=list(CHAPTERS), choices=CHAPTERS)
    parser.add_argument("--ports", type=int, default=26000, help="take ports from here on")
    asked = parser.parse_args(words)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-folders-"))
    rows = run(Bench(asked.binary.absolute(), folder, asked.ports), asked.chapters)
    show(rows)
    if any(row.violations for row in rows):
        print(f"folders and logs: {folder}", file=sys.stderr)
        return BROKEN
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (HarnessTrouble, TimeoutError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
        sys.exit(NO_VERDICT)
