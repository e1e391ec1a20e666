#!/usr/bin/env python3
"""Three real servers, real sessions, and leaders that are killed and paused.

Every write that was acknowledged must be read back from every server; node types, versions, multis,
watches, sessions and sequential names must be what ZooKeeper promises. All of it is recorded, and
the history is judged by the checkers of the simulator. Exit code 1 on any loss, 3 where the run itself
could not be made. Ends in bounded time, and ends only its own processes.
"""

import argparse
import logging
import pathlib
import sys
import tempfile
import time

from flows.raw import Lost
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from quorum import exercises
from quorum.judge import judge
from quorum.server import HOST, Trouble, ensemble, leader_of, until
from quorum.workload import Workload, check_order, losses_on
from record import Recorder
from workplace import put_away


def kill_and_restart(servers, rounds, pause):
    """Kills each leader in turn; answers how long each time nobody led."""
    gaps = []
    for _ in range(rounds):
        time.sleep(pause)
        leader = until("a leader", 30, lambda: leader_of(servers))
        leader.kill()
        start = time.monotonic()
        rest = [one for one in servers if one is not leader]
        successor = until("a new leader", 30, lambda: leader_of(rest))
        gaps.append(time.monotonic() - start)
        print(
            f"leader {leader.number} killed; {successor.number} leads after {gaps[-1]:.2f} s",
            flush=True,
        )
        time.sleep(pause / 2)
        leader.start()
        until("the killed server to follow", 30, lambda: leader.mode())
    time.sleep(pause)
    return gaps


def exercise(recorder, servers, rounds):
    """Everything that an application does, with how often it was done."""
    client, other = exercises.connect(recorder.hosts()), exercises.connect(recorder.hosts())
    done = {}
    try:
        for name, action in (
            ("nodes of the four types", lambda: exercises.node_types(client, 5 * rounds)),
            ("writes with versions", lambda: exercises.versions(client, 5 * rounds)),
            ("multis", lambda: exercises.multis(client, 5 * rounds)),
            ("watch events", lambda: exercises.watches(client, other, 5 * rounds)),
            ("reconnects of a session", lambda: exercises.reconnects(client, recorder.hosts(), 5 * rounds)),
            ("silent sessions expired", lambda: exercises.expiry(client, recorder.hosts(), rounds)),
            ("sessions re-attached", lambda: exercises.reattach(recorder, servers, rounds)),
            ("leaders changed under names", lambda: exercises.sequence_over_leaders(client, servers, rounds)),
            ("leaders paused", lambda: exercises.paused_leader(client, servers, rounds)),
        ):
            start = time.monotonic()
            done[name] = action()
            print(f"{done[name]:5} {name} ({time.monotonic() - start:.1f} s)", flush=True)
    finally:
        exercises.end(client)
        exercises.end(other)
    return done


def run(options, folder):
    servers = ensemble(options.binary, folder)
    history = folder / "history.jsonl"
    try:
        start = time.monotonic()
        for server in servers:
            server.start()
        leader = until("a first leader", 30, lambda: leader_of(servers))
        print(f"three servers run; {leader.number} leads after {time.monotonic() - start:.2f} s")
        places = [(server.number, HOST, server.client_port) for server in servers]
        with Recorder(history, places) as recorder:
            found, workload, gaps = drive(options, servers, recorder)
        found += stop_all(servers)
        # The last one that was stopped knows the most.
        found += judge(options.sim, history, [one.log_folder for one in reversed(servers)])
        summarise(workload, gaps, found)
        return 1 if found else 0
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.kill()


def drive(options, servers, recorder):
    """The load and the faults; answers what was lost, the load, and the gaps without a leader."""
    workload = Workload(recorder.hosts())
    try:
        workload.thread.start()
        exercise(recorder, servers, options.rounds)
        gaps = kill_and_restart(servers, options.kills, options.pause)
    finally:
        workload.stop()
        time.sleep(0.2)  # events may come behind the last reply
        unseen = workload.expected_events - workload.events - workload.lost_watches
        workload.client.stop()
        workload.client.close()
    found = [f"server {one.number} ended by itself" for one in servers if one.died()]
    for server in servers:
        if not server.died():
            found += losses_on(server, workload)
    found += check_order(workload.sequential)
    found += [f"the change of {path} was never told" for path in sorted(unseen)]
    return found, workload, gaps


def stop_all(servers):
    found = []
    for server in servers:
        code = server.stop(15)
        if code != 0:
            found.append(f"server {server.number} ended with code {code} after SIGTERM")
    return found


def summarise(workload, gaps, found):
    for line in found[:20]:
        print(f"LOST  {line}")
    if len(found) > 20:
        print(f"LOST  and {len(found) - 20} more")
    acknowledged = len(workload.kept) + len(workload.sequential)
    print(
        f"{f'FAILED ({len(found)} promises broken)' if found else 'ok, all read back from every server'}"
        f": {acknowledged} nodes acknowledged, {len(workload.sequential)} sequential names, {len(workload.events)} watch events, "
        f"{len(gaps)} leaders killed (new one after {max(gaps, default=0):.2f} s at most), "
        f"{workload.failures} attempts repeated, longest wait of a write "
        f"{workload.longest_gap:.2f} s, {workload.sessions} session(s)"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/vivarium")
    parser.add_argument("--sim", type=pathlib.Path, help="vivarium-sim [default: beside the binary]")
    parser.add_argument("--rounds", type=int, default=2, help="how often each thing is exercised")
    parser.add_argument("--kills", type=int, default=3, help="leaders to kill")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds of work between kills")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the servers")
    options = parser.parse_args()
    options.sim = options.sim or options.binary.with_name("vivarium-sim")
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    logging.basicConfig(level=logging.CRITICAL)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-quorum-"))
    code = 3
    try:
        code = run(options, folder)
    except (Trouble, Lost, KazooTimeoutError, KazooException) as error:
        print(f"FAILED: {error!r}")
        code = 1
    except OSError as error:
        print(f"no verdict: {error}", file=sys.stderr)
    finally:
        put_away(folder, code == 0 and not options.keep)
    return code


if __name__ == "__main__":
    sys.exit(main())
