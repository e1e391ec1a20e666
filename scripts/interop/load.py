"""Clients that write all the while, and the ledger of what they were told.

One writer sits on each server and stays there, also while its server is away; one more roams. What
was acknowledged is recorded as the set of values that a later reader may find: one value where the
answer came, two where it was lost on the way.
"""

import logging
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState
from kazoo.retry import KazooRetry
from kazoo.security import make_acl

from trouble import Violation

SESSION_SECONDS = 30
# Shorter than a run is long, and longer than a server needs to come back on a busy machine.
IDLE_SECONDS = 12
EPHEMERALS_KEPT = 3
LARGE_BYTES = 700_000
QUEUE = "/queue"
# Two entries, so that lists of access rights are compared too.
READ_ONLY = make_acl("ip", "127.0.0.1", read=True)
CHANGE = make_acl("world", "anyone", all=True)
# kazoo tells the world about every lost connection; here they are the point.
logging.getLogger("kazoo").setLevel(logging.CRITICAL)
logging.basicConfig(level=logging.CRITICAL)


def connect(hosts, timeout=SESSION_SECONDS, limit=30, **more):
    retry = KazooRetry(max_tries=-1, delay=0.02, backoff=1.5, max_delay=0.2)
    client = KazooClient(hosts=hosts, timeout=timeout, connection_retry=retry, **more)
    client.start(limit)
    return client


def disconnect(client):
    client.stop()
    client.close()


class Ledger:
    """What one writer was told. Only its own thread writes here."""

    def __init__(self):
        self.values = {}
        self.sequential = []
        self.unknown_sequential = 0
        self.ephemerals = {}
        self.acknowledged = 0
        self.repeated = 0
        self.longest_wait = 0.0


class Writer:
    """One client that creates, changes and deletes; `hold` makes it pause between two operations."""

    def __init__(self, name, hosts):
        self.name, self.hosts = name, hosts
        self.client = connect(hosts)
        self.ledger = Ledger()
        self.root, self.short = f"/load/{name}", f"/short/{name}"
        self.lost_sessions = 0
        self.error = None
        self._going, self._idle, self._stopping = threading.Event(), threading.Event(), threading.Event()
        self.client.add_listener(self._on_state)
        for path in (self.root, self.short, QUEUE):
            self.client.ensure_path(path)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self):
        self._going.set()
        self._thread.start()

    def hold(self, limit=30):
        """Waits until nothing of this writer is under way; answers whether that was in time."""
        self._going.clear()
        return self._idle.wait(limit)

    def go_on(self):
        self._idle.clear()
        self._going.set()

    def stop(self, limit=60):
        """Ends the writing; the session stays."""
        self._stopping.set()
        self._going.set()
        self._thread.join(limit)
        if self._thread.is_alive():
            raise Violation(f"writer {self.name} got no answer for {limit} s")
        if self.error:
            raise self.error

    def close(self):
        self._stopping.set()
        self._going.set()
        disconnect(self.client)

    @property
    def session(self):
        return self.client.client_id[0] if self.client.client_id else 0

    def _on_state(self, state):
        if state == KazooState.LOST and not self._stopping.is_set():
            self.lost_sessions += 1

    def _run(self):
        try:
            index = 0
            while not self._stopping.is_set():
                if not self._going.is_set():
                    self._idle.set()
                    self._going.wait()
                    continue
                self._round(index)
                index += 1
        except Exception as error:  # the run reports it
            self.error = error
        finally:
            self._idle.set()

    def _round(self, index):
        path = f"{self.root}/{index:05}"
        self._keep(path, b"first")
        match index % 4:
            case 0:
                self._set(path, b"second %d" % index)
            case 1:
                self._ephemeral(index)
            case 2:
                self._pair(index)
            case _:
                self._sequential()
        if index % 3 == 0 and index > 30:
            self._remove(f"{self.root}/{index - 30:05}")
        if index % 8 == 5:
            self._refused(path)

    def _keep(self, path, value):
        acl = [READ_ONLY, CHANGE] if path.endswith("7") else None
        self._insist(path, value, lambda: self.client.create(path, value, acl=acl), fine=NodeExistsError)

    def _refused(self, path):
        """A change that must be refused: it costs a zxid, and every server logs it as an error."""

        def attempt():
            self.client.set(path, b"never", version=99)
            raise Violation(f"{self.name}: {path} was changed though its version is not 99")

        self._insist(path, b"first", attempt, fine=BadVersionError)

    def _set(self, path, value):
        self._insist(path, value, lambda: self.client.set(path, value))

    def _remove(self, path):
        self._insist(path, None, lambda: self.client.delete(path), fine=NoNodeError)

    def _pair(self, index):
        """Two nodes in one transaction: both or none."""
        one, two = f"{self.root}/{index:05}-one", f"{self.root}/{index:05}-two"
        value = b"pair %d" % index

        def attempt():
            transaction = self.client.transaction()
            transaction.create(one, value)
            transaction.create(two, value)
            for result in transaction.commit():
                if isinstance(result, NodeExistsError):
                    raise result
                if isinstance(result, Exception) and not isinstance(result, KazooException):
                    raise result

        self._insist(one, value, attempt, fine=NodeExistsError)
        self.ledger.values[two] = {value}

    def _sequential(self):
        started = time.monotonic()
        try:
            path = self.client.create(f"{QUEUE}/{self.name}-", b"", sequence=True)
        except (KazooException, KazooTimeoutError):
            # It may exist or not: it is not repeated, and not counted.
            self.ledger.unknown_sequential += 1
            return
        self.ledger.sequential.append((started, time.monotonic(), path))
        self.ledger.acknowledged += 1

    def _ephemeral(self, index):
        path = f"{self.short}/{index:05}"
        session = self.session
        try:
            self.client.create(path, b"", ephemeral=True)
        except (KazooException, KazooTimeoutError):
            # Found or not at the end, its owner must be a session that lives.
            return
        if session == self.session:
            self.ledger.ephemerals[path] = session
        self.ledger.acknowledged += 1
        mine = [path for path, owner in self.ledger.ephemerals.items() if owner == self.session]
        for old in mine[:-EPHEMERALS_KEPT]:
            self._remove(old)
            del self.ledger.ephemerals[old]

    def _insist(self, path, value, attempt, fine=()):
        """Repeats an idempotent change until it is answered."""
        start = time.monotonic()
        while True:
            try:
                attempt()
                break
            except fine:
                break
            except (KazooException, KazooTimeoutError):
                self.ledger.repeated += 1
                self.ledger.values[path] = self.ledger.values.get(path, {None}) | {value}
                if self._stopping.is_set() and time.monotonic() - start > 30:
                    raise Violation(f"{self.name}: {path} got no answer for 30 s") from None
                time.sleep(0.02)
        self.ledger.values[path] = {value}
        self.ledger.acknowledged += 1
        self.ledger.longest_wait = max(self.ledger.longest_wait, time.monotonic() - start)


class Idler:
    """A client that does nothing but be there: its pings alone keep its session, whoever forwards
    them to whom. When its server goes it moves on to the next one."""

    def __init__(self, ensemble, seat):
        at = seat.number - 1
        hosts = ",".join(one.address for one in [*ensemble.seats[at:], *ensemble.seats[:at]])
        self.client = connect(hosts, timeout=IDLE_SECONDS, randomize_hosts=False)
        self.path = f"/idle/at{seat.number}"
        self.client.create(self.path, b"", ephemeral=True, makepath=True)
        self.session = self.client.client_id[0]


class Load:
    """A writer on every server, and one that goes where it finds somebody; an idler on each too."""

    def __init__(self, ensemble, history):
        self.writers = [Writer(f"at{seat.number}", history.hosts(seat)) for seat in ensemble.seats]
        self.writers.append(Writer("roaming", history.hosts()))
        self.idlers = [Idler(ensemble, seat) for seat in ensemble.seats]
        # More than what one read or one packet takes, in the way of every SNAP.
        self.writers[-1].client.create("/large", bytes(LARGE_BYTES))

    def start(self):
        for writer in self.writers:
            writer.start()

    def at(self, seat):
        return self.writers[seat.number - 1]

    def hold(self, writers=None):
        held = [writer.name for writer in writers or self.writers if not writer.hold()]
        if held:
            raise Violation(f"no answer for 30 s to {', '.join(held)}")

    def go_on(self):
        for writer in self.writers:
            writer.go_on()

    def stop(self):
        for writer in self.writers:
            writer.stop()

    def close(self):
        for writer in self.writers:
            writer.close()
        for idler in self.idlers:
            disconnect(idler.client)

    def acknowledged(self):
        return sum(writer.ledger.acknowledged for writer in self.writers)

    def sessions(self):
        return {writer.session for writer in self.writers} | {idler.session for idler in self.idlers}

    def identities(self):
        """(id, password) of every session that lives."""
        return [one.client.client_id for one in [*self.writers, *self.idlers]]
