"""Where both kinds are asked the same: one server of each, or three of each."""

import pathlib
import re

import zkwire
from apache import ApacheServer
from ensemble import Ensemble, Kind
from intended import SWITCHED_BACK
from operations import SUPER
from sides import Side, authenticate
from vivarium import VivariumServer
from zkwire import Connection

TICK_MS = 500
# Read by both kinds. Containers and TTL nodes go by a timer of each server's own: not within a run.
SETTINGS = {
    "tickTime": TICK_MS,
    "initLimit": 40,
    "syncLimit": 40,
    "maxSessionTimeout": 3_600_000,
    "maxClientCnxns": 0,
    "4lw.commands.whitelist": "*",
    "admin.enableServer": "false",
    "preAllocSize": 4096,
    "snapCount": 1_000_000,
    "extendedTypesEnabled": "true",
    "enforceQuota": "true",
    "znode.container.checkIntervalMs": 86_400_000,
    # super:test
    "DigestAuthenticationProvider.superDigest": "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
}
PROPERTIES = {"znode.container.checkIntervalMs": 86_400_000}
# Nodes that nobody can delete.
KEPT = ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota")


class Lone:
    """One standalone server."""

    def __init__(self, kind, home, bench):
        port = bench.ports.take()
        (home / "data").mkdir(parents=True)
        config = home / "zoo.cfg"
        settings = {"dataDir": home / "data", "clientPort": port, "clientPortAddress": "127.0.0.1", **_settings(kind)}
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if kind is Kind.APACHE:
            self.server = ApacheServer("Apache", config, home / "log", port, bench.jars, "256m", PROPERTIES, "WARN")
        else:
            self.server = VivariumServer("Vivarium", config, home / "log", port, bench.binary)
        self.ports, self.names = [port], {}

    def start(self):
        self.server.start()

    def wait(self):
        self.server.wait_serving()

    def end(self):
        self.server.kill()


class Three:
    """Three servers of one kind."""

    def __init__(self, kind, home, bench):
        self.ensemble = Ensemble([kind] * 3, home, bench.ports, bench.binary, bench.jars, _settings(kind), properties=PROPERTIES)
        self.ports = [seat.client_port for seat in self.ensemble.seats]
        # The text of /zookeeper/config names them.
        every = [(seat.number, port) for seat in self.ensemble.seats for port in (seat.client_port, seat.quorum_port, seat.election_port)]
        self.names = {str(port).encode(): f"port {at} of server {number}".encode() for at, (number, port) in enumerate(every)}

    def start(self):
        for seat in self.ensemble.seats:
            self.ensemble.start(seat)

    def wait(self):
        self.ensemble.wait_for_all(90)

    def end(self):
        self.ensemble.end()


def _settings(kind):
    return SETTINGS if kind is Kind.APACHE else {**SETTINGS, **SWITCHED_BACK}


class Arena:
    """Both kinds, serving within `with`."""

    def __init__(self, bench, servers):
        self.servers = servers
        self.folder = pathlib.Path(bench.folder) / f"differential-{servers}"
        form = Lone if servers == 1 else Three
        self.kinds = [form(kind, self.folder / kind.value.lower(), bench) for kind in (Kind.APACHE, Kind.VIVARIUM)]

    def __enter__(self):
        try:
            for one in self.kinds:
                one.start()
            for one in self.kinds:
                one.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for one in self.kinds:
            one.end()

    def sides(self, sessions):
        """New sessions at both."""
        names = ("Apache", "Vivarium")
        return [Side(name, one.ports, sessions, _renamer(one.names)) for name, one in zip(names, self.kinds, strict=True)]

    def emptied(self, sessions):
        """The same with empty trees, and without the sessions from before."""
        for one in self.kinds:
            _empty(one.ports[0])
        return self.sides(sessions)


def _empty(port):
    """Deletes what lies at the servers behind a port. Ephemerals go with it; sessions from before hold nothing then."""
    probe = Connection(port)
    authenticate(probe, SUPER)
    for path in sorted(zkwire.walk(probe), key=len, reverse=True):
        if path not in KEPT:
            probe.call(zkwire.DELETE, zkwire.ustring(path) + zkwire.integer(-1))
    probe.finish()


def _renamer(names):
    """Replaces what belongs to this side alone in the data of nodes."""
    if not names:
        return lambda data: data
    pattern = re.compile(b"|".join(map(re.escape, names)))
    return lambda data: pattern.sub(lambda found: names[found[0]], data) if b"server." in data else data
