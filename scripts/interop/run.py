#!/usr/bin/env python3
"""make interop: Vivarium beside Apache ZooKeeper 3.9.5, on loopback.

Prints what it does, then a table with a row for each pairing and what was exercised, counted. Exit
code 0 where every promise held, 1 where one was broken, 3 where the run could not be made.
"""

import argparse
import importlib
import pathlib
import signal
import sys
import tempfile
import time

# The recorder of histories lies beside this folder.
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]

from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from ensemble import Ports
from jars import Jars
from report import Row, show
from trouble import BROKEN, NO_VERDICT, HarnessTrouble, Violation
from workplace import put_away

# Modules with `run(bench) -> [Row]`, in the order in which they run.
PARTS = {"a": "folders", "b": "mixed", "c": "rolling", "d": "differential", "r": "random_faults"}
USUAL = "abcd"


class Bench:
    """What every part needs."""

    def __init__(self, options, folder, jars):
        self.binary, self.folder, self.jars = options.binary.absolute(), folder, jars
        self.sim = options.sim.absolute()
        self.ports = Ports(options.ports)
        self.seed, self.seconds = options.seed, options.seconds
        self.started = time.monotonic()

    def say(self, text):
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)


def run_part(part, bench):
    """A part that breaks off is a row too: what it was for was not shown."""
    module = importlib.import_module(PARTS[part])
    started = time.monotonic()
    try:
        return module.run(bench)
    except Violation as error:
        broken = str(error)
    except (KazooException, KazooTimeoutError) as error:
        broken = f"a client got no answer: {error!r}"
    return [Row(part, PARTS[part], {}, [broken], time.monotonic() - started)]


def out_of_time(_signal, _frame):
    raise HarnessTrouble("the run took longer than --limit allows")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/vivarium")
    parser.add_argument("--sim", type=pathlib.Path, default="target/release/vivarium-sim", help="judges histories")
    parser.add_argument("--parts", default=USUAL, help=f"some of {''.join(PARTS)}; {USUAL} unless named")
    parser.add_argument("--ports", type=int, default=22100, help="take ports from here on")
    parser.add_argument("--seed", type=int, default=1, help="of the random faults of part r")
    parser.add_argument("--seconds", type=int, default=60, help="how long part r goes on striking")
    parser.add_argument("--limit", type=int, default=1800, help="seconds until the run is given up")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the servers")
    options = parser.parse_args()
    if not set(options.parts) <= set(PARTS):
        parser.error(f"--parts: there are only {', '.join(PARTS)}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-interop-"))
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(options.limit)
    code = NO_VERDICT
    try:
        code = run(options, folder)
    except (HarnessTrouble, OSError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
    finally:
        put_away(folder, code == 0 and not options.keep)
    return code


def run(options, folder):
    for program, option in ((options.binary, "--binary"), (options.sim, "--sim")):
        if not program.exists():
            raise HarnessTrouble(f"{program} does not exist: cargo build --release, or name another with {option}")
    bench = Bench(options, folder, Jars().ensure())
    rows = []
    try:
        for part in options.parts:
            rows += run_part(part, bench)
    finally:
        show(rows)
    broken = sum(len(row.violations) for row in rows)
    print(f"\n{f'FAILED: {broken} promises broken' if broken else 'ok'}, {time.monotonic() - bench.started:.0f} s")
    return BROKEN if broken else 0


if __name__ == "__main__":
    sys.exit(main())
