"""An ensemble whose seats are taken by servers of either kind, on the same data folders.

A seat keeps its id, its ports, its zoo.cfg and its data folder for ever; who sits on it may change.
"""

import enum
import shutil
import socket

from apache import ApacheServer
from process import HOST, until
from trouble import HarnessTrouble, Violation
from vivarium import VivariumServer

TICK_MS = 500


class Kind(enum.Enum):
    APACHE = "Apache"
    VIVARIUM = "Vivarium"

    @property
    def other(self):
        return Kind.VIVARIUM if self is Kind.APACHE else Kind.APACHE


class Ports:
    """Ports below those that the system gives to outgoing connections, so that a server that comes
    back finds its own still free."""

    def __init__(self, start):
        self.next = start

    def take(self):
        for port in range(self.next, self.next + 2000):
            if _is_free(port):
                self.next = port + 1
                return port
        raise HarnessTrouble(f"no free port on {HOST} from {self.next} on; name another start with --ports")


def _is_free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True


class Seat:
    """One member of the ensemble."""

    def __init__(self, number, kind, folder, ports, observes=False):
        self.number, self.kind, self.folder, self.observes = number, kind, folder, observes
        self.client_port, self.quorum_port, self.election_port = ports
        self.data = folder / "data"
        self.config = folder / "zoo.cfg"
        self.server = None

    @property
    def name(self):
        return f"{self.kind.value} {self.number}"

    @property
    def address(self):
        return f"{HOST}:{self.client_port}"

    def member_line(self):
        role = "observer" if self.observes else "participant"
        return f"server.{self.number}={HOST}:{self.quorum_port}:{self.election_port}:{role};{self.address}\n"

    def log_of(self, kind):
        return self.folder / f"{kind.value.lower()}.log"


class Ensemble:
    """Three or more seats; knows how to bring up each kind, and who leads."""

    def __init__(self, kinds, folder, ports, binary, jars, settings=None, observers=(), properties=None):
        self.folder, self.binary, self.jars, self.properties = folder, binary, jars, properties
        self.settings = {**default_settings(), **(settings or {})}
        self.seats = []
        for number, kind in enumerate(kinds, start=1):
            place = folder / f"server{number}"
            observes = number in observers
            self.seats.append(Seat(number, kind, place, [ports.take() for _ in range(3)], observes))
        for seat in self.seats:
            self._lay_out(seat)

    def seat(self, number):
        return self.seats[number - 1]

    def of(self, kind):
        return [seat for seat in self.seats if seat.kind is kind]

    def hosts(self):
        return ",".join(seat.address for seat in self.seats)

    def _lay_out(self, seat):
        seat.data.mkdir(parents=True, exist_ok=True)
        (seat.data / "myid").write_text(f"{seat.number}\n")
        settings = {**self.settings, "dataDir": seat.data}
        if seat.observes:
            settings["peerType"] = "observer"
        lines = [f"{key}={value}\n" for key, value in settings.items()]
        seat.config.write_text("".join(lines + [one.member_line() for one in self.seats]))

    # One seat at a time.

    def start(self, seat):
        """Starts whoever sits there, and does not wait."""
        log = seat.log_of(seat.kind)
        match seat.kind:
            case Kind.APACHE:
                seat.server = ApacheServer(seat.name, seat.config, log, seat.client_port, self.jars, properties=self.properties)
            case Kind.VIVARIUM:
                seat.server = VivariumServer(seat.name, seat.config, log, seat.client_port, self.binary)
        seat.server.start()

    def kill(self, seat):
        seat.server.kill()

    def stop(self, seat):
        """Asks for a graceful end, and insists that it is one."""
        code = seat.server.stop()
        # A Java machine that ends by SIGTERM says 128 + 15, or 0.
        fine = (0, 143, -15) if seat.kind is Kind.APACHE else (0,)
        if code not in fine:
            raise Violation(f"{seat.name} ended with code {code} after SIGTERM; see {seat.log_of(seat.kind)}")

    def wipe(self, seat):
        """Takes everything but its number from a server that does not run."""
        shutil.rmtree(seat.data)
        self._lay_out(seat)

    def replace(self, seat, kind):
        """Somebody else takes the seat, on the same folder. The one before must have ended."""
        seat.kind = kind

    # All of them.

    def start_all(self, limit=60):
        for seat in self.seats:
            self.start(seat)
        return self.wait_for_all(limit)

    def wait_for_all(self, limit=60):
        """Until every server serves under one leader; answers the leader's seat."""
        return until(f"all of {self.describe()} to serve", limit, self._settled)

    def wait_for_leader(self, among=None, limit=60):
        seats = among or self.seats
        return until(f"a leader among {self.describe(seats)}", limit, lambda: self.leader(seats))

    def wait_serving(self, seat, limit=60):
        until(f"{seat.name} to serve; see {seat.log_of(seat.kind)}", limit, lambda: self.mode(seat))

    def _settled(self):
        self.check_alive()
        modes = [self.mode(seat) for seat in self.seats]
        if None in modes or modes.count("leader") != 1:
            return None
        return self.seats[modes.index("leader")]

    def mode(self, seat):
        return seat.server.mode() if seat.server and seat.server.alive() else None

    def leader(self, among=None):
        return next((seat for seat in among or self.seats if self.mode(seat) == "leader"), None)

    def describe(self, seats=None):
        return ", ".join(seat.name for seat in seats or self.seats)

    def check_alive(self):
        """A server that ended by itself is a violation, whatever else happens."""
        for seat in self.seats:
            code = seat.server.died() if seat.server else None
            if code is not None:
                raise Violation(f"{seat.name} ended by itself with code {code}; see {seat.log_of(seat.kind)}")

    def end(self):
        """Ends what still runs, whatever state it is in."""
        for seat in self.seats:
            if seat.server and seat.server.alive():
                seat.server.kill()


def default_settings():
    """What both kinds read. Configuration stays at version 0: reconfiguration is off."""
    return {
        "tickTime": TICK_MS,
        "initLimit": 20,
        "syncLimit": 8,
        "maxSessionTimeout": 40000,
        "maxClientCnxns": 0,
        "reconfigEnabled": "false",
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "*",
        # Small files, and snapshots that come while the load runs.
        "preAllocSize": 256,
        "snapCount": 400,
    }


