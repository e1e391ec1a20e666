#!/usr/bin/env python3
"""Apache ZooKeeper 3.9.5: servers in the background, and Apache's own tools.

As a module:
    server = ApacheServer("apache-1", config=path_of_zoo_cfg, log=path, client_port=2181)
    server.start(); server.wait_serving(); server.kill()

As a command:
    apache.py fetch                      the jars, once
    apache.py serve ZOO_CFG              one server in the foreground
    apache.py cli HOST:PORT [WORD ..]    zkCli
    apache.py snapshot FILE              prints a snapshot
    apache.py log FILE                   prints a transaction log
    apache.py word PORT WORD             a four-letter word
"""

import os
import shutil
import subprocess
import sys

from jars import Jars
from process import ServerProcess, four_letter_word
from trouble import NO_VERDICT, HarnessTrouble

SERVER = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
CLI = "org.apache.zookeeper.ZooKeeperMain"
SNAPSHOT_FORMATTER = "org.apache.zookeeper.server.SnapshotFormatter"
LOG_TOOLKIT = "org.apache.zookeeper.server.persistence.TxnLogToolkit"
# A small virtual machine that is quick to start: these servers live for seconds.
SMALL = ("-Xms32m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true")


def java():
    """The path of the Java virtual machine."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=os.path.join(home, "bin")) if home else None
    found = found or shutil.which("java")
    if found is None:
        raise HarnessTrouble("no java on this machine: install a Java 17 runtime (openjdk-17-jre-headless) or set JAVA_HOME")
    return found


class ApacheServer(ServerProcess):
    """One Apache server. `properties` become -D flags (`zookeeper.commitLogCount` and the like)."""

    def __init__(self, name, config, log, client_port, jars=None, heap="160m", properties=None, log_level="INFO"):
        super().__init__(name, config, log, client_port)
        self.jars = jars or Jars()
        self.heap, self.properties = heap, dict(properties or {})
        self.log_level, self.handler_log_level = log_level, "DEBUG" if log_level == "INFO" else log_level

    def command(self):
        flags = [f"-D{key}={value}" for key, value in self.properties.items()]
        return [
            java(),
            *SMALL,
            f"-Xmx{self.heap}",
            f"-Dquorum.log={self.log_level}",
            f"-Dhandler.log={self.handler_log_level}",
            *flags,
            "-cp",
            self.jars.classpath(),
            SERVER,
            str(self.config),
        ]


def run_tool(main, *words, jars=None, limit=60):
    """Runs one of Apache's tools to its end; answers (exit code, output, errors)."""
    command = [java(), *SMALL, "-Xmx192m", "-Dzookeeper.sasl.client=false", "-cp", (jars or Jars()).classpath(), main]
    try:
        done = subprocess.run([*command, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise HarnessTrouble(f"{main} did not end within {limit} s") from error
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def zkcli(address, *words, jars=None):
    """One command of zkCli against a server, `host:port` or several."""
    return run_tool(CLI, "-server", address, *words, jars=jars)


def format_snapshot(path, *flags, jars=None):
    """Apache's SnapshotFormatter; `-d` among the flags prints the data too."""
    return run_tool(SNAPSHOT_FORMATTER, *flags, path, jars=jars)


def format_log(path, *flags, jars=None):
    return run_tool(LOG_TOOLKIT, *flags, path, jars=jars)


def _show(answer):
    code, output, errors = answer
    sys.stdout.write(output)
    sys.stderr.write(errors)
    return code


def main(words):
    match words:
        case ["fetch"]:
            print(Jars().ensure().folder)
            return 0
        case ["serve", config]:
            server = ApacheServer("apache", config, None, None, log_level="INFO")
            os.execv(java(), server.command())
        case ["cli", address, *rest]:
            return _show(zkcli(address, *rest))
        case ["snapshot", path]:
            return _show(format_snapshot(path, "-d"))
        case ["log", path]:
            return _show(format_log(path))
        case ["word", port, word]:
            sys.stdout.write(four_letter_word(int(port), word))
            return 0
        case _:
            print(__doc__.strip(), file=sys.stderr)
            return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessTrouble as error:
        print(f"no verdict: {error}", file=sys.stderr)
        sys.exit(NO_VERDICT)
