"""Part (b): ensembles of both kinds, each side leading in turn, through DIFF, TRUNC and SNAP, kills and
restarts, with clients writing on every server."""

import time

from chapters import Story
from ensemble import Ensemble, Kind
from report import Row

A, V = Kind.APACHE, Kind.VIVARIUM
# What lies before the last 500 transactions is not taken from Apache's log: SNAP instead.
SETTINGS = {"snapshotSizeFactor": -1}


def run(bench):
    return [tell(bench, *pairing) for pairing in pairings()]


def pairings():
    """What it is called, who sits where, who of them observes, and its chapters."""
    return (
        ("2 Apache + 1 Vivarium", (A, A, V), (), apache_majority),
        ("1 Apache + 2 Vivarium", (V, V, A), (), vivarium_majority),
        ("1 Apache + 2 Vivarium, 1 observer of each", (V, A, V, A, V), (4, 5), with_observers),
    )


def tell(bench, pairing, kinds, observers, chapters):
    started = time.monotonic()
    folder = bench.folder / pairing.replace(",", "").replace(" ", "-")
    ensemble = Ensemble(kinds, folder, bench.ports, bench.binary, bench.jars, SETTINGS, observers)
    story = Story(ensemble, bench.sim)
    try:
        story.begin()
        for chapter in chapters(story):
            bench.say(f"{pairing}: {chapter}")
        violations = story.end()
    finally:
        ensemble.end()
    return judged(Row("b", pairing, counts(story), violations), story, started)


def judged(row, story, started):
    """The row with what the recorded history says."""
    broken, row.exercised["history judged"] = story.history.judge()
    row.violations += broken
    row.seconds = time.monotonic() - started
    return row


def apache_majority(story):
    """Servers 1 and 2 are Apache's, 3 is ours. Each line names what is behind it."""
    one, two, three = story.ensemble.seats
    story.diff(three, one)
    yield "Apache took a DIFF of ours"
    story.diff(two, three)
    yield "ours took a DIFF of Apache"
    story.snap_to_absent(two, three)
    yield "ours took a SNAP of Apache after a long absence"
    story.snap_to_wiped(two, three)
    yield "ours took a SNAP of Apache, its disk wiped"
    story.snap_to_wiped(three, one)
    yield "Apache took a SNAP of ours, its disk wiped"
    story.trunc(three, two)
    yield "ours led, logged alone, and took a TRUNC of Apache"
    story.snap_over_the_stranded(three, two)
    yield "ours led, logged alone, and took a SNAP of Apache"
    story.trunc(two, three)
    yield "Apache led, logged alone, and took a TRUNC of ours"


def vivarium_majority(story):
    """Servers 1 and 2 are ours, 3 is Apache's."""
    one, two, three = story.ensemble.seats
    story.diff(three, one)
    yield "ours took a DIFF of Apache"
    story.snap_to_absent(three, one)
    yield "ours took a SNAP of Apache after a long absence"
    story.snap_to_wiped(three, two)
    yield "ours took a SNAP of Apache, its disk wiped"
    story.diff(two, three)
    yield "Apache took a DIFF of ours"
    # The log of server 2 begins behind the SNAP: an empty server cannot be filled from it.
    story.snap_to_wiped(two, three)
    yield "Apache took a SNAP of ours, its disk wiped"
    story.trunc(three, two)
    yield "Apache led, logged alone, and took a TRUNC of ours"
    story.trunc(two, three)
    yield "ours led, logged alone, and took a TRUNC of Apache"


def with_observers(story):
    """Servers 1 and 3 are ours, 2 is Apache's; 4 is an observer of Apache's, 5 one of ours."""
    _, two, three, apache, ours = story.ensemble.seats
    story.diff(three, apache)
    yield "an observer of Apache took a DIFF of ours"
    story.snap_to_wiped(two, ours)
    yield "an observer of ours took a SNAP of Apache, its disk wiped"
    story.diff(two, ours)
    yield "an observer of ours took a DIFF of Apache"


def counts(story):
    """What the logs and the clients say, as rows of the table."""
    syncs, leads = story.chronicle.syncs, story.chronicle.leads
    found = {}
    for leader in Kind:
        for learner in Kind:
            modes = [(mode, syncs[leader, learner, mode]) for mode in ("DIFF", "TRUNC", "SNAP")]
            if any(count for _, count in modes):
                text = ", ".join(f"{mode} {count}" for mode, count in modes)
                found[f"{leader.value} leads, {learner.value} syncs"] = text
    found["leaders established"] = ", ".join(f"{kind.value} {leads[kind]}" for kind in Kind)
    found["SIGKILLs, graceful stops"] = f"{story.kills}, {story.stops}"
    ledgers = [writer.ledger for writer in story.load.writers]
    found["changes acknowledged"] = sum(ledger.acknowledged for ledger in ledgers)
    found["sequential names"] = sum(len(ledger.sequential) for ledger in ledgers)
    found["changes repeated by clients"] = sum(ledger.repeated for ledger in ledgers)
    found["idle sessions that lived through it"] = len(story.load.idlers)
    found["longest wait of the roaming client"] = f"{ledgers[-1].longest_wait:.1f} s"
    return found
