#!/usr/bin/env python3
"""kazoo's own test suite against three servers of Apache ZooKeeper 3.9.5 and against three of ours.

    kazoo_suite.py --binary target/release/vivarium [--only 'watch or lock'] [--apache FILE]

The suite is run as it is: it writes zoo.cfg and starts `java`. For ours a `java` of another kind comes first on
the path, which starts `vivarium serve` on the same zoo.cfg. Prints a table of the tests; exit code 1 where a test
passes against Apache and not here, unless it is in LACKING, or where one in LACKING passes: then its line has to go.
"""

import argparse
import collections
import importlib.metadata
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent / "interop")]

from apache import SMALL, java
from jars import Jars
from trouble import BROKEN, NO_VERDICT, HarnessTrouble

# Of each test: a deadlock of the client must not stop the run.
TEST_SECONDS = 120
# What Vivarium does not offer yet, by the start of the test's name.
LACKING = {
    "test_client.TestReconfig.": "members do not change at run time yet",
    "test_client.TestSSLClient.": "TLS for clients is not offered yet",
}  # fmt: skip
# A server of ours refuses to start where a line asks for encryption that it cannot give.
DROPPED = ("secureClientPort",)
APACHE_JAVA = """\
#!/bin/sh
exec {java} {flags} "$@"
"""
OUR_JAVA = """\
#!{python}
import os, sys
config, flags = sys.argv[-1], [word[2:] for word in sys.argv[1:-1] if word.startswith("-D")]
lines = [line for line in open(config).read().splitlines() if not line.startswith({dropped!r})]
# What Java takes as a system property stands in zoo.cfg here.
lines += [flag.removeprefix("zookeeper.") for flag in flags if flag.startswith(("zookeeper.Digest", "readonlymode."))]
with open(config, "w") as file:
    file.write("\\n".join(lines) + "\\n")
os.execv({binary!r}, [{binary!r}, "serve", config])
"""


class Side:
    """One kind of server under the suite."""

    def __init__(self, name, folder, launcher):
        self.name, self.folder = name, folder / name
        self.path = self.folder / "bin"
        self.path.mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        script = self.path / "java"
        script.write_text(launcher)
        script.chmod(0o755)

    @property
    def output(self):
        return self.folder / "output"

    def run(self, port, only, limit):
        """Runs the suite; answers {test: Result}."""
        report = self.folder / "results.xml"
        environment = {
            **os.environ,
            "PATH": f"{self.path}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "tmp"),
            "ZOOKEEPER_VERSION": "3.9.5",
            "ZOOKEEPER_CLASSPATH": Jars().classpath(),
            "ZOOKEEPER_PORT_OFFSET": str(port),
            "PYTHONWARNINGS": "ignore",
        }
        command = [sys.executable, "-m", "pytest", "--pyargs", "kazoo.tests", "--verbose", f"--timeout={TEST_SECONDS}", f"--junitxml={report}"]
        command += ["-p", "no:cacheprovider", "--override-ini", "junit_family=xunit1", *(["-k", only] if only else [])]
        with open(self.output, "wb") as output:
            # A session of its own: what the suite leaves behind is ended with it.
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired as error:
            raise HarnessTrouble(f"the suite against {self.name} did not end within {limit} s; see {self.output}") from error
        finally:
            end_group(process.pid)
        # 0: all passed, 1: some failed; whatever else pytest says, the suite was not run.
        if code not in (0, 1) or not report.exists():
            raise HarnessTrouble(f"the suite against {self.name} was not run (pytest ended with {code}); see {self.output}")
        return read(report)


def end_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def read(report):
    """{test: [verdict, why]} of a report in JUnit's form."""
    results = {}
    for case in xml.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname').removeprefix('kazoo.tests.')}.{case.get('name')}"
        troubles = [one for one in case if one.tag in ("failure", "error", "skipped")]
        verdict = "passed"
        if troubles:
            verdict = "skipped" if troubles[0].tag == "skipped" else "failed"
        why = (troubles[0].get("message") or "").splitlines() if troubles else []
        results[name] = [verdict, why[0][:160] if why else ""]
    return results


def lacking(test):
    return next((reason for start, reason in LACKING.items() if test.startswith(start)), None)


def judge(apache, ours):
    """{test: judgement} for every test of either side."""
    judgements = {}
    for test in sorted(apache.keys() | ours.keys()):
        one, other = apache.get(test, ["absent", ""])[0], ours.get(test, ["absent", ""])[0]
        worse = one == "passed" and other != "passed"
        if worse:
            judgements[test] = f"not offered yet: {lacking(test)}" if lacking(test) else "WORSE"
        elif lacking(test) and one == other == "passed":
            judgements[test] = "LISTED AS LACKING, AND PASSES"
        else:
            judgements[test] = "" if one == other else "better"
    return judgements


def show(apache, ours, judgements):
    width = max(map(len, judgements), default=0)
    print(f"{'test':<{width}}  {'Apache':<8} {'Vivarium':<8}")
    for test, judgement in judgements.items():
        one, other = apache.get(test, ["absent", ""]), ours.get(test, ["absent", ""])
        print(f"{test:<{width}}  {one[0]:<8} {other[0]:<8} {judgement}".rstrip())
        for name, (verdict, why) in (("Apache", one), ("Vivarium", other)):
            if verdict == "failed":
                print(f"    {name}: {why}")
    pairs = collections.Counter((apache.get(test, ["absent"])[0], ours.get(test, ["absent"])[0]) for test in judgements)
    print()
    for (one, other), count in sorted(pairs.items()):
        print(f"{count:5}  Apache {one}, Vivarium {other}")


def unwanted(judgements):
    return [test for test, judgement in judgements.items() if judgement.isupper()]


def apache_results(asked, folder):
    """Runs the suite against Apache, or reads what an earlier run kept."""
    about = {"kazoo": importlib.metadata.version("kazoo"), "zookeeper": "3.9.5", "only": asked.only}
    if asked.apache and asked.apache.exists():
        kept = json.loads(asked.apache.read_text())
        if kept["about"] != about:
            raise HarnessTrouble(f"{asked.apache} is of {kept['about']}, not of {about}: remove it")
        return kept["results"]
    side = Side("apache", folder, APACHE_JAVA.format(java=java(), flags=" ".join([*SMALL, "-Xmx160m"])))
    results = timed(side, asked)
    if asked.apache:
        asked.apache.parent.mkdir(parents=True, exist_ok=True)
        asked.apache.write_text(json.dumps({"about": about, "results": results}, indent=1))
    return results


def timed(side, asked):
    started = time.monotonic()
    print(f"kazoo {importlib.metadata.version('kazoo')} against {side.name}; its output: {side.output}", file=sys.stderr, flush=True)
    results = side.run(asked.ports, asked.only, asked.limit)
    print(f"{len(results)} tests in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return results


def compare(asked, folder):
    binary = str(asked.binary.absolute())
    if not os.access(binary, os.X_OK):
        raise HarnessTrouble(f"{binary} does not exist: cargo build --release, or name another with --binary")
    Jars().ensure()
    ours = timed(Side("vivarium", folder, OUR_JAVA.format(python=sys.executable, binary=binary, dropped=DROPPED)), asked)
    apache = apache_results(asked, folder)
    judgements = judge(apache, ours)
    show(apache, ours, judgements)
    return BROKEN if unwanted(judgements) else 0


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default="target/release/vivarium")
    parser.add_argument("--only", default="", help="tests that match, in the words of pytest's -k")
    parser.add_argument("--apache", type=pathlib.Path, help="take Apache's results from this file; written where it is not there")
    parser.add_argument("--ports", type=int, default=24300, help="the servers take 30 ports from here on")
    parser.add_argument("--limit", type=int, default=2400, help="seconds until a run of the suite is given up")
    asked = parser.parse_args(words)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vivarium-kazoo-suite-"))
    code = NO_VERDICT
    try:
        code = compare(asked, folder)
    except HarnessTrouble as error:
        print(f"no verdict: {error}", file=sys.stderr)
    if code == 0:
        shutil.rmtree(folder)
    else:
        print(f"output and folders of the servers: {folder}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
