"""Apache ZooKeeper's jars, fetched once from PyPI.

The source distribution of pyspark carries ZooKeeper 3.9.5 with everything that it needs. It is read
as a stream: of 450 MB only the jars that are named here reach the disk, and nothing is kept unless
the checksum of the whole is the expected one.
"""

import fnmatch
import hashlib
import html
import os
import pathlib
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from trouble import HarnessTrouble

DISTRIBUTION = "pyspark-4.3.0.tar.gz"
SHA256 = "e8c517948eff7088a7aa07449aa8eafa4a15a8d50319de2525a6fd26622476c6"
INDEX = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
WANTED = (
    "zookeeper*.jar",
    "curator-*.jar",
    "netty-*.jar",
    "slf4j-api*.jar",
    "log4j-*.jar",
    "metrics-core*.jar",
    "snappy-java*.jar",
    "jackson-*.jar",
    "commons-cli*.jar",
    "commons-io*.jar",
    "jline-2*.jar",
    "audience-annotations*.jar",
    "guava*.jar",
    "failureaccess*.jar",
)
# The bridge of the old log4j API is in the way of the new one.
UNWANTED = ("log4j-1.2*",)
SERVER_JAR = "zookeeper-3.9.5.jar"
# The leader changes that a run counts are logged by the quorum package at INFO, and one of the two
# ways to send a TRUNC only at DEBUG.
LOGGING = """\
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p [%t] %c{1} - %m%n
logger.quorum.name = org.apache.zookeeper.server.quorum
logger.quorum.level = ${sys:quorum.log:-WARN}
logger.handler.name = org.apache.zookeeper.server.quorum.LearnerHandler
logger.handler.level = ${sys:handler.log:-WARN}
"""


def default_cache():
    chosen = os.environ.get("VIVARIUM_PEERS")
    if chosen:
        return pathlib.Path(chosen)
    return pathlib.Path(__file__).resolve().parents[2] / "target" / "peers"


class Jars:
    """A folder with ZooKeeper's jars, and the class path over it."""

    def __init__(self, cache=None):
        self.folder = pathlib.Path(cache or default_cache()).absolute() / "zookeeper-3.9.5"

    def ensure(self):
        """Fetches what is not there yet; answers itself."""
        if not (self.folder / SERVER_JAR).exists():
            self._fetch()
        logging = self.folder / "log4j2.properties"
        if not logging.exists() or logging.read_text() != LOGGING:
            logging.write_text(LOGGING)
        return self

    def classpath(self):
        self.ensure()
        return ":".join([str(self.folder), *sorted(map(str, self.folder.glob("*.jar")))])

    def _fetch(self):
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        partial = pathlib.Path(tempfile.mkdtemp(prefix="fetching-", dir=self.folder.parent))
        try:
            print(f"fetching Apache ZooKeeper 3.9.5 (once, some 450 MB to read) into {self.folder}", flush=True)
            _extract(_address(), partial)
            _move_into_place(partial, self.folder)
        except (OSError, tarfile.TarError) as error:
            raise HarnessTrouble(f"cannot fetch {DISTRIBUTION} from {INDEX}: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _move_into_place(partial, folder):
    """Another run may have been quicker: its jars are as good."""
    try:
        partial.rename(folder)
    except OSError:
        if not (folder / SERVER_JAR).exists():
            raise


def _address():
    """Where the index says that the distribution lies."""
    with urllib.request.urlopen(f"{INDEX}/pyspark/", timeout=60) as answer:
        page, base = answer.read().decode(), answer.url
    link = re.search(rf'href="([^"]*{re.escape(DISTRIBUTION)}[^"]*)"', page)
    if link is None:
        raise HarnessTrouble(f"{INDEX} does not offer {DISTRIBUTION}; set PIP_INDEX_URL to an index that does")
    return urllib.parse.urljoin(base, html.unescape(link.group(1)))


class _Hashed:
    """A stream that knows the checksum of what was read from it."""

    def __init__(self, stream):
        self.stream, self.digest = stream, hashlib.sha256()

    def read(self, size):
        chunk = self.stream.read(size)
        self.digest.update(chunk)
        return chunk


def _extract(address, folder):
    with urllib.request.urlopen(address, timeout=180) as answer:
        stream = _Hashed(answer)
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                name = pathlib.PurePosixPath(member.name).name
                if member.isfile() and _is_wanted(name):
                    with open(folder / name, "wb") as target:
                        shutil.copyfileobj(archive.extractfile(member), target)
        while stream.read(1 << 20):
            pass
    if stream.digest.hexdigest() != SHA256:
        raise HarnessTrouble(f"{address} is not the {DISTRIBUTION} that was expected: its checksum differs")
    if not (folder / SERVER_JAR).exists():
        raise HarnessTrouble(f"{DISTRIBUTION} holds no {SERVER_JAR}")


def _is_wanted(name):
    wanted = any(fnmatch.fnmatch(name, pattern) for pattern in WANTED)
    return wanted and not any(fnmatch.fnmatch(name, pattern) for pattern in UNWANTED)
