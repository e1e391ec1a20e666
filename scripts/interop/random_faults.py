"""Part (r), only where it is asked for: whatever happens, in an order drawn from a seed.

Servers of both kinds are killed, stopped, paused, wiped and replaced by the other kind, alone and
together, while clients write. The seed decides what is done, not how the servers take it: a run that
failed is a reason to read the logs, and may not fail again.
"""

import random
import time

from chapters import Story
from ensemble import Ensemble, Kind
from mixed import counts, judged
from report import Row

A, V = Kind.APACHE, Kind.VIVARIUM
LAYOUTS = ((A, A, V), (A, V, A), (V, A, A), (V, V, A), (V, A, V), (A, V, V))
SNAPSHOT_SIZE_FACTORS = (-1, 0.33, 1000)
SNAP_COUNTS = (50, 200, 400, 2000)


def run(bench):
    started = time.monotonic()
    rng = random.Random(bench.seed)
    settings = {"snapshotSizeFactor": rng.choice(SNAPSHOT_SIZE_FACTORS), "snapCount": rng.choice(SNAP_COUNTS)}
    ensemble = Ensemble(rng.choice(LAYOUTS), bench.folder / "random", bench.ports, bench.binary, bench.jars, settings)
    bench.say(f"random faults of seed {bench.seed}: {ensemble.describe()}, {settings}")
    story = Story(ensemble, bench.sim)
    try:
        story.begin()
        end = time.monotonic() + bench.seconds
        while time.monotonic() < end:
            strike(story, rng, bench)
        violations = story.end()
    finally:
        ensemble.end()
    pairing = f"random faults of seed {bench.seed}"
    return [judged(Row("r", pairing, counts(story), violations), story, started)]


def strike(story, rng, bench):
    ensemble = story.ensemble
    fault = rng.choice(FAULTS)
    seats = rng.sample(ensemble.seats, len(ensemble.seats))
    bench.say(f"{fault.__name__}: {ensemble.describe(seats)}")
    fault(story, rng, *seats)
    # Sometimes the next fault comes before this one is healed.
    if rng.random() < 0.7:
        ensemble.wait_for_all()
        time.sleep(rng.uniform(0, 2))
    ensemble.check_alive()


def kill(story, rng, seat, *_):
    story.kill(seat)
    time.sleep(rng.uniform(0, 2))
    story.ensemble.start(seat)


def stop(story, rng, seat, *_):
    story.stop(seat)
    time.sleep(rng.uniform(0, 2))
    story.ensemble.start(seat)


def pause(_, rng, seat, *__):
    seat.server.pause()
    time.sleep(rng.uniform(0, 6))
    seat.server.resume()


def kill_two(story, rng, one, two, *_):
    story.kill(one)
    time.sleep(rng.uniform(0, 0.5))
    story.kill(two)
    time.sleep(rng.uniform(0, 2))
    story.ensemble.start(two)
    time.sleep(rng.uniform(0, 1))
    story.ensemble.start(one)


def kill_all(story, rng, *seats):
    for seat in seats:
        story.kill(seat)
        time.sleep(rng.uniform(0, 0.1))
    for seat in seats:
        story.ensemble.start(seat)
        time.sleep(rng.uniform(0, 0.5))


def kill_again_and_again(story, rng, seat, *_):
    for _ in range(3):
        story.kill(seat)
        story.ensemble.start(seat)
        time.sleep(rng.uniform(0, 1.5))


def wipe(story, rng, seat, *_):
    """Alone: an Apache server whose disk was wiped votes at once."""
    story.ensemble.wait_for_all()
    story.kill(seat)
    story.ensemble.wipe(seat)
    time.sleep(rng.uniform(0, 2))
    story.come_back(seat)


def change_kind(story, _, seat, *__):
    """In order: a server of ours hands over a folder only where it served."""
    story.ensemble.wait_for_all()
    story.stop(seat)
    story.replace(seat, seat.kind.other)
    story.ensemble.start(seat)


FAULTS = (kill, kill, stop, pause, kill_two, kill_all, kill_again_and_again, wipe, change_kind)
