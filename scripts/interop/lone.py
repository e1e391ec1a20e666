"""One server on one data folder: standalone, or the only member of a quorum of one."""

import dataclasses
import pathlib
import shutil
import subprocess

from apache import ApacheServer
from ensemble import Ports
from jars import Jars
from process import until
from vivarium import VivariumServer

# Containers and TTL nodes go by a timer of each server's own: not within a run.
PROPERTIES = {"zookeeper.extendedTypesEnabled": "true", "znode.container.checkIntervalMs": "86400000"}
COMMON = """\
dataDir={data}
tickTime=2000
initLimit=10
syncLimit=5
maxClientCnxns=0
maxSessionTimeout=3600000
snapCount={snap_count}
preAllocSize=64
4lw.commands.whitelist=*
admin.enableServer=false
reconfigEnabled=false
"""


class Bench:
    """Stands in for that of run.py where one part is run alone."""

    def __init__(self, binary, folder, ports):
        self.binary, self.folder, self.ports, self.jars = binary, folder, Ports(ports), Jars().ensure()

    @staticmethod
    def say(text):
        print(text, flush=True)


@dataclasses.dataclass
class Place:
    """A data folder and the configuration that any server starts with on it."""

    home: pathlib.Path
    member: bool
    ports: tuple
    snap_count: int = 60

    @property
    def data(self):
        return self.home / "data"

    @property
    def version(self):
        return self.data / "version-2"

    @property
    def client_port(self):
        return self.ports[0]

    @property
    def standing(self):
        return "member" if self.member else "standalone"

    def configure(self):
        """Writes zoo.cfg anew: Apache may have moved parts of it elsewhere."""
        self.version.mkdir(parents=True, exist_ok=True)
        text = COMMON.format(data=self.data, snap_count=self.snap_count)
        if self.member:
            client, quorum, election = self.ports
            text += f"standaloneEnabled=false\nserver.1=127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{client}\n"
            (self.data / "myid").write_text("1\n")
        else:
            text += f"clientPort={self.client_port}\nclientPortAddress=127.0.0.1\n"
        (self.home / "zoo.cfg").write_text(text)
        return self.home / "zoo.cfg"

    def copy(self, home):
        """The same folder elsewhere; holes stay holes."""
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        subprocess.run(["cp", "-r", "--sparse=always", str(self.data), str(home / "data")], check=True)
        return dataclasses.replace(self, home=home)

    def log(self, name):
        return self.home / f"{name}.log"


def apache(place, bench, **more):
    properties = PROPERTIES | {f"zookeeper.{key}": value for key, value in more.items()}
    config = place.configure()
    return ApacheServer("Apache", config, place.log("apache"), place.client_port, bench.jars, properties=properties, log_level="WARN")


def vivarium(place, bench):
    return VivariumServer("Vivarium", place.configure(), place.log("vivarium"), place.client_port, bench.binary)


def starts(server, limit=60):
    """Whether the server comes to serve; False where it ends by itself. It runs afterwards only if it serves."""
    server.start()
    try:
        served = until(f"{server.name} to serve or to end; see {server.log}", limit, lambda: outcome(server))
    except TimeoutError:
        server.kill()
        raise
    if served == "ended":
        server.kill()
        return False
    return True


def outcome(server):
    if server.died() is not None:
        return "ended"
    return "serves" if server.mode() else None
