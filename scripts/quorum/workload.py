"""One client that writes while leaders are killed, and what it was told."""

import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NodeExistsError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import EventType, KazooState
from kazoo.retry import KazooRetry

from quorum.server import HOST, Trouble


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
