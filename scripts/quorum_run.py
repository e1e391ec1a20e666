#!/usr/bin/env python3
"""Three real servers, a kazoo client, and a leader that is killed again and again.

Every write that was acknowledged must be read back from every server; sequential names must be
unique and rise in the order of their acknowledgements; watches must fire. Exit code 1 on any loss,
3 where the run itself could not be made. Ends in bounded time, and ends only its own processes.
"""

import argparse
import logging
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NodeExistsError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import EventType, KazooState
from kazoo.retry import KazooRetry

HOST = "127.0.0.1"


class Trouble(Exception):
    """The servers did not do in time what they must."""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind((HOST, 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    def __init__(self, number, binary, folder, client_port, members):
        self.number, self.binary, self.client_port = number, binary, client_port
        self.folder = folder / f"server{number}"
        data = self.folder / "data"
        data.mkdir(parents=True)
        (data / "myid").write_text(f"{number}\n")
        # The marker that allows a first start before the others have been seen.
        (data / "initialize").touch()
        self.config = self.folder / "zoo.cfg"
        self.config.write_text(
            f"dataDir={data}\nclientPort={client_port}\nclientPortAddress={HOST}\n"
            "tickTime=500\ninitLimit=20\nsyncLimit=6\n4lw.commands.whitelist=*\n" + members
        )
        self.process = None

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self, limit):
        """Asks it to stop; answers its exit code, or None where it had to be killed."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None

    def word(self, word):
        try:
            with socket.create_connection((HOST, self.client_port), timeout=2) as stream:
                stream.sendall(word.encode())
                answer = b""
                while chunk := stream.recv(4096):
                    answer += chunk
                return answer.decode()
        except OSError:
            return ""

    def mode(self):
        for line in self.word("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.removeprefix("Mode: ")
        return None

    def died(self):
        return self.process is not None and self.process.poll() is not None


def until(what, limit, ask):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.02)
    raise Trouble(f"waited {limit} s in vain for {what}")


def leader_of(servers):
    return next((one for one in servers if one.process and one.mode() == "leader"), None)


class Workload:
    """What a client was told, to be compared with what the servers hold."""

    def __init__(self, hosts):
        # One request at a time; what fails without an answer is tried again by name.
        self.client = KazooClient(hosts=hosts, timeout=10, connection_retry=KazooRetry(max_tries=-1))
        self.client.start(timeout=30)
        self.kept = {}
        self.sequential = []
        self.unknown_sequential = 0
        self.events, self.expected_events = set(), set()
        self.lost_watches = set()
        self.sessions = 1
        self.failures = 0
        self.longest_gap = 0.0
        self.stopping = threading.Event()
        self.error = None
        self.client.add_listener(self.on_state)
        for path in ("/kept", "/queue", "/watched"):
            self.client.ensure_path(path)
        self.thread = threading.Thread(target=self.run)

    def on_state(self, state):
        # Stopping the client itself also ends its session.
        if state == KazooState.LOST and not self.stopping.is_set():
            self.sessions += 1

    def insist(self, action, done=lambda: None):
        """Repeats an idempotent action until it is answered."""
        start = time.monotonic()
        while not self.stopping.is_set() or time.monotonic() - start < 30:
            try:
                action()
                self.longest_gap = max(self.longest_gap, time.monotonic() - start)
                return
            except NodeExistsError:
                return
            except (KazooException, KazooTimeoutError):
                self.failures += 1
                time.sleep(0.01)
        raise Trouble("a write was not answered for 30 s")

    def run(self):
        try:
            index = 0
            while not self.stopping.is_set():
                self.one_round(index)
                index += 1
        except Exception as error:  # a thread's error is the run's error
            self.error = error

    def one_round(self, index):
        path = f"/kept/{index:06}"
        self.insist(lambda: self.client.create(path, b"first"))
        self.kept[path] = b"first"
        if index % 2 == 0:
            value = b"second-%d" % index
            self.insist(lambda: self.client.set(path, value))
            self.kept[path] = value
        try:
            self.sequential.append(self.client.create("/queue/n-", b"", sequence=True))
        except (KazooException, KazooTimeoutError):
            # It may or may not exist: it is not repeated, and not counted.
            self.unknown_sequential += 1
        if index % 5 == 0:
            self.watch(index)

    def watch(self, index):
        path = f"/watched/{index:06}"
        self.insist(lambda: self.client.create(path, b"1"))
        try:
            self.client.get(path, watch=lambda event: self.on_event(path, event))
        except (KazooException, KazooTimeoutError):
            return
        self.expected_events.add(path)
        self.insist(lambda: self.client.set(path, b"2"))

    def on_event(self, path, event):
        # kazoo does not set its watches again on a new connection: it says that they are gone.
        if event.type == EventType.NONE:
            self.lost_watches.add(path)
        else:
            self.events.add(path)

    def stop(self):
        self.stopping.set()
        self.thread.join(60)
        if self.thread.is_alive():
            raise Trouble("the workload does not end")
        if self.error:
            raise self.error


def losses_on(server, workload):
    """Everything that this server should hold and does not."""
    found = []
    client = KazooClient(hosts=f"{HOST}:{server.client_port}", timeout=10)
    client.start(timeout=30)
    try:
        client.sync("/")
        for path, value in workload.kept.items():
            try:
                got = client.get(path)[0]
            except KazooException as error:
                got = repr(error)
            if got != value:
                found.append(f"server {server.number}: {path} is {got!r}, acknowledged {value!r}")
        names = set(client.get_children("/queue"))
        missing = {path for path in workload.sequential if path.rsplit("/", 1)[1] not in names}
        found += [f"server {server.number}: {path} is missing" for path in sorted(missing)]
        if len(names) > len(workload.sequential) + workload.unknown_sequential:
            found.append(f"server {server.number}: more sequential names than were asked for")
    finally:
        client.stop()
        client.close()
    return found


def check_order(names):
    numbers = [int(name.rsplit("-", 1)[1]) for name in names]
    pairs = zip(names, names[1:], numbers, numbers[1:])
    return [f"{later} was given after {name}" for name, later, a, b in pairs if b <= a]


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


def run(options, folder):
    client_ports, quorum_ports, election_ports = (free_ports(9)[i::3] for i in range(3))
    members = "".join(
        f"server.{i + 1}={HOST}:{quorum_ports[i]}:{election_ports[i]}\n" for i in range(3)
    )
    servers = [Server(i + 1, options.binary, folder, client_ports[i], members) for i in range(3)]
    try:
        start = time.monotonic()
        for server in servers:
            server.start()
        leader = until("a first leader", 30, lambda: leader_of(servers))
        print(f"three servers run; {leader.number} leads after {time.monotonic() - start:.2f} s")
        workload = Workload(",".join(f"{HOST}:{port}" for port in client_ports))
        try:
            workload.thread.start()
            gaps = kill_and_restart(servers, options.kills, options.pause)
        finally:
            workload.stop()
            time.sleep(0.2)  # events may come behind the last reply
            unseen = workload.expected_events - workload.events - workload.lost_watches
            workload.client.stop()
            workload.client.close()
        died = [one.number for one in servers if one.died()]
        found = [f"server {number} ended by itself" for number in died]
        for server in servers:
            if not server.died():
                found += losses_on(server, workload)
        found += check_order(workload.sequential)
        found += [f"the change of {path} was never told" for path in sorted(unseen)]
        for server in servers:
            code = server.stop(15)
            if code != 0:
                found.append(f"server {server.number} ended with code {code} after SIGTERM")
        summarise(workload, gaps, found)
        return 1 if found else 0
    finally:
        for server in servers:
            if server.process is not None and server.process.poll() is None:
                server.kill()


def summarise(workload, gaps, found):
    for line in found[:20]:
        print(f"LOST  {line}")
    if len(found) > 20:
        print(f"LOST  and {len(found) - 20} more")
    acknowledged = len(workload.kept) + len(workload.sequential)
    print(
        f"{f'FAILED ({len(found)} promises broken)' if found else 'ok, all read back from every server'}"
        f": {acknowledged} nodes acknowledged, {len(workload.sequential)} sequential names, {len(workload.events)} watch events, "
        f"{len(gaps)} leaders killed (new one after {max(gaps):.2f} s at most), "
        f"{workload.failures} attempts repeated, longest wait of a write "
        f"{workload.longest_gap:.2f} s, {workload.sessions} session(s)"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/vivarium")
    parser.add_argument("--kills", type=int, default=3, help="leaders to kill")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds of work between kills")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the servers")
    options = parser.parse_args()
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    logging.basicConfig(level=logging.CRITICAL)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-quorum-"))
    code = 3
    try:
        code = run(options, folder)
    except (Trouble, KazooTimeoutError) as error:
        print(f"FAILED: {error}")
        code = 1
    except OSError as error:
        print(f"no verdict: {error}", file=sys.stderr)
    finally:
        if code == 0 and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"folders and logs of the servers: {folder}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
