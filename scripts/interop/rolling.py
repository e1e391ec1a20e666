"""Part (c): all three servers of an Apache ensemble are replaced by ours, one by one, on the same data
folders and under load, and back again."""

import time

from chapters import Story
from ensemble import Ensemble, Kind
from mixed import counts, judged
from report import Row


# An Apache leader may read its whole log for a DIFF, however small the tree is.
SETTINGS = {"snapshotSizeFactor": 1000}


def run(bench):
    started = time.monotonic()
    folder = bench.folder / "rolling"
    ensemble = Ensemble([Kind.APACHE] * 3, folder, bench.ports, bench.binary, bench.jars, SETTINGS)
    story = Story(ensemble, bench.sim)
    try:
        story.begin()
        replace_all(story, Kind.VIVARIUM, bench)
        violations = story.judge_now()
        leader = ensemble.wait_for_all()
        story.snap_to_wiped(leader, next(seat for seat in ensemble.seats if seat is not leader))
        bench.say("rolling: a leader on Apache's folder filled a server whose disk was wiped")
        story.kill(ensemble.wait_for_all())
        ensemble.wait_for_leader()
        restart_missing(story)
        replace_all(story, Kind.APACHE, bench)
        violations += story.end()
    finally:
        ensemble.end()
    return [judged(Row("c", "3 Apache -> 3 Vivarium -> 3 Apache", counts(story), violations), story, started)]


def replace_all(story, kind, bench):
    """Followers first, as an operator does it; the leader last. Writes go on, whoever is away."""
    ensemble = story.ensemble
    while left := [seat for seat in ensemble.seats if seat.kind is not kind]:
        leader = ensemble.wait_for_all()
        seat = next((one for one in left if one is not leader), left[0])
        story.write(150)
        story.stop(seat)
        story.write(50)
        story.replace(seat, kind)
        story.come_back(seat)
        bench.say(f"rolling: server {seat.number} is {kind.value}'s now")
        if len(left) == len(ensemble.seats):
            story.late_to_an_idle_leader(seat)
            bench.say("rolling: the others were restarted idle, and it came back last")
    story.write(100)


def restart_missing(story):
    for seat in story.ensemble.seats:
        if not seat.server.alive():
            story.come_back(seat)
