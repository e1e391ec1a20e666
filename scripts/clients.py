#!/usr/bin/env python3
"""Three real servers under clients as they are: kazoo with its recipes, Apache's zkCli, and words.

Prints a line for each flow. Exit code 1 where a client did not get what it must, 3 where there is no
verdict: without Java there is none, since zkCli is part of it (--no-zkcli leaves it out). Ends in
bounded time, and ends only its own processes.
"""

import argparse
import logging
import pathlib
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent / "interop")]

from apache import java
from ensemble import Ensemble, Kind, Ports
from flows import kazoo_flows, watch_flows, word_flows, zkcli_flows
from flows.check import Broken
from flows.stage import Stage
from jars import Jars
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from trouble import NO_VERDICT, HarnessTrouble
from workplace import put_away


def run(flow, ensemble):
    """Runs one flow on a stage of its own; answers what is broken, or None."""
    start, name = time.monotonic(), flow.__name__.replace("_", " ")
    try:
        with Stage(ensemble) as stage:
            flow(stage)
        ensemble.check_alive()
        broken = None
    except (Broken, AssertionError, KazooException, KazooTimeoutError, TimeoutError) as error:
        broken = str(error) or repr(error)
    took = time.monotonic() - start
    print(f"{'BROKEN' if broken else 'ok':6} {name:15} {took:5.1f} s  {broken or flow.__doc__}", flush=True)
    return broken


def choose(options):
    flows = [*kazoo_flows.FLOWS, *watch_flows.FLOWS, *word_flows.FLOWS]
    if options.zkcli:
        java()
        Jars().ensure()
        flows += zkcli_flows.FLOWS
    if options.only:
        flows = [flow for flow in flows if flow.__name__ in options.only]
    if not flows:
        raise HarnessTrouble(f"no flow is named {', '.join(options.only)}")
    return flows


def play(options, folder):
    flows = choose(options)
    ensemble = Ensemble([Kind.VIVARIUM] * 3, folder, Ports(options.ports), options.binary, None)
    try:
        leader = ensemble.start_all()
        print(f"three servers run; {leader.number} leads")
        broken = [flow.__name__ for flow in flows if run(flow, ensemble)]
        for seat in ensemble.seats:
            ensemble.stop(seat)
    except (AssertionError, TimeoutError) as error:
        broken = [str(error)]
    finally:
        ensemble.end()
    print(f"FAILED: {', '.join(broken)}" if broken else f"ok: {len(flows)} flows")
    return 1 if broken else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/vivarium")
    parser.add_argument("--ports", type=int, default=28100, help="the first port to try")
    parser.add_argument("--only", nargs="+", default=[], metavar="FLOW", help="only these flows")
    parser.add_argument("--no-zkcli", dest="zkcli", action="store_false", help="leave out what needs Java")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the servers")
    options = parser.parse_args()
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-clients-"))
    code = NO_VERDICT
    try:
        code = play(options, folder)
    except (HarnessTrouble, OSError) as error:
        print(f"no verdict: {error}", file=sys.stderr)
    finally:
        put_away(folder, code == 0 and not options.keep)
    return code


if __name__ == "__main__":
    sys.exit(main())
