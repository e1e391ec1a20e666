#!/usr/bin/env python3
"""Proof of power: plants each mutant of a folder in a copy of the tree and counts the seeds to its catch.

A mutant is a unified diff whose head may hold comment lines (`# id:`, `# source:`, `# mechanism:`,
`# expected:`). Each is graded twice: as built, and with assertions and white-box checks off, as in
the production builds of others. A violation counts only if the tree without the mutant does not fail
on the same seed. The next mutant is built while the last one runs.

Core's assertions have no effect but to panic, so a run that does not panic is the same run without
them: the build without assertions is made only for a mutant that panics.

Exit codes: 0 all found as built (the black box is reported beside it, and may miss what only code or
disks show), 1 some were missed, 2 usage, 3 the runner itself failed.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Those that are to be found, and those that are known to be missed.
FOLDERS = [ROOT / "scenarios" / "mutants", ROOT / "scenarios" / "mutants-open"]
PROFILE = "mutants"
# Seeds of the first step; each further step is twice as long.
FIRST_STEP = 50
# A seed takes milliseconds; a mutant that hangs the simulator is not found by it.
SECONDS_PER_SEED = 3
SECONDS_PER_STEP = 120
# Of CPU, the budget of `vivarium-sim shrink`; other work may share the processor.
SHRINK_SECONDS = 60


CHECKED = "--cfg madsim"
UNCHECKED = "--cfg madsim --cfg vivarium_unchecked"
# A grading and the options of its runs.
GRADINGS = {"as built": [], "black box": ["--no-white-box"]}


class Missed(Exception):
    """Why a mutant could not be graded."""


class Mutant:
    def __init__(self, path):
        self.path = path
        head = dict(re.findall(r"(?m)^#\s*(\w+):\s*(.*?)\s*$", path.read_text(errors="replace")))
        self.id = head.get("id", path.stem)


class Tree:
    """The scratch copy, and what is built from it."""

    def __init__(self, scratch):
        self.scratch, self.folder = scratch, scratch / "tree"
        self.folder.mkdir(parents=True, exist_ok=True)
        (scratch / "bin").mkdir(exist_ok=True)
        # Read once: a person may go on working while mutants are graded.
        self.files = {name: (ROOT / name).read_bytes() for name in sources()}
        self.reset()

    def reset(self):
        """Makes the copy what the work tree was. Files that did not change keep their times, so that
        what was built from them stays built."""
        for name, content in self.files.items():
            target = self.folder / name
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        for path in self.folder.rglob("*"):
            if path.is_file() and str(path.relative_to(self.folder)) not in self.files:
                path.unlink()

    def build(self, mutant, rustflags):
        """A simulator with the mutant in it; `None`: the tree as it is."""
        try:
            if mutant:
                self.apply(mutant)
            return self.compile(mutant.path.stem if mutant else "unmutated", rustflags)
        finally:
            self.reset()

    def apply(self, mutant):
        # Outside any repository, so that the paths are those of the tree whatever lies around it.
        alone = {**os.environ, "GIT_CEILING_DIRECTORIES": str(self.scratch)}
        for command in (
            ["git", "apply", "--whitespace=nowarn", str(mutant.path)],
            ["patch", "-p1", "--batch", "--forward", "--input", str(mutant.path)],
        ):
            if run(command, self.folder, alone, check=False).returncode == 0:
                return
            self.reset()
        raise Missed("the patch does not apply")

    def compile(self, name, rustflags):
        kind = "checked" if rustflags == CHECKED else "unchecked"
        place = self.scratch / f"build-{kind}"
        environment = {**os.environ, "RUSTFLAGS": rustflags, "CARGO_TARGET_DIR": str(place)}
        command = ["cargo", "build", "--locked", "--quiet", "--profile", PROFILE]
        command += ["--package", "vivarium-sim", "--bin", "vivarium-sim"]
        done = run(command, self.folder, environment, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
            raise Missed("does not compile: " + (errors or ["no reason given"])[0])
        binary = self.scratch / "bin" / f"{name}-{kind}"
        shutil.copy2(place / PROFILE / "vivarium-sim", binary)
        return binary


class Baseline:
    """Which seeds fail without any mutant. Asked only for seeds that a mutant fails on."""

    def __init__(self, binary):
        self.binary, self.known = binary, {}

    def fails(self, grading, seed):
        key = (grading, seed)
        if key not in self.known:
            command = [self.binary, "replay", str(seed), "-o", "json", *GRADINGS[grading]]
            done, _ = simulate(command, 1)
            self.known[key] = done["verdict"] != "ok"
        return self.known[key]

    def ignored(self):
        return sorted({seed for (_, seed), fails in self.known.items() if fails})


@dataclasses.dataclass
class Grade:
    found: bool = False
    seeds: int = 0
    seed: int = 0
    cpu: float = 0.0
    check: str = "-"
    detail: str = ""
    replays: str = "-"
    unchecked: bool = False
    # Of each range, where several are asked for: CPU seconds, `None` where it was missed.
    ranges: list = dataclasses.field(default_factory=list)
    # What `vivarium-sim shrink` said of the seed that was caught.
    shrunk: dict | None = None

    def shrunk_to(self):
        """Fault units and client operations that are left."""
        if not self.shrunk:
            return "-"
        after = self.shrunk["after"]
        return f"{after['fault_units']}+{after['operations']}"


# From the first seed of one range to that of the next.
RANGE_STRIDE = 100_000


def grade_ranges(build, grading, baseline, span, jobs, ranges):
    """The grade of the first range, with the medians over all of them."""
    spans = [
        range(span.start + RANGE_STRIDE * index, span.stop + RANGE_STRIDE * index)
        for index in range(ranges)
    ]
    grades = [grade(build, grading, baseline, each, jobs, each is spans[0]) for each in spans]
    result = grades[0]
    if ranges > 1:
        result.ranges = [each.cpu if each.found else None for each in grades]
        # A range that misses has cost what it cost, and counts as more than any that found it.
        costs = [each.cpu if each.found else float("inf") for each in grades]
        median = statistics.median(costs)
        result.found = median != float("inf")
        result.cpu = median if result.found else max(each.cpu for each in grades)
        result.seeds = int(statistics.median(each.seeds for each in grades))
    return result


def grade(build, grading, baseline, span, jobs, shrinks=True):
    """Runs seeds until one is caught that the unmutated tree passes. `build` gives the simulator
    for rustflags; one without assertions is asked for where an assertion caught the mutant."""
    result, at, step, end = Grade(), span.start, FIRST_STEP, span.stop
    binary = build(CHECKED)
    while at < end:
        count = min(step, end - at)
        # Whatever the environment says about shards: the seeds of a step are all ours.
        command = [binary, "run", "--shard", "none", "--fail-fast"]
        command += ["--seeds", str(count), "--seed-start", str(at)]
        command += ["--jobs", str(jobs), "-o", "json", *GRADINGS[grading]]
        summary, cpu = simulate(command, count)
        result.cpu += cpu
        failure = next(iter(summary["failures"]), None)
        if summary["harness_faults"]:
            # The harness gave up on a seed: no catch. Go on behind it.
            result.detail = summary["harness_faults"][0]
            at += max(summary["seeds"], 1)
            continue
        if failure is None:
            at, step = at + count, step * 2
            continue
        at = failure["seed"] + 1
        if baseline.fails(grading, failure["seed"]):
            continue
        violation = failure["violation"]
        if grading == "black box" and violation["check"] == "panic" and not result.unchecked:
            # All seeds before it ran without a panic: go on with this one.
            binary, result.unchecked, at = build(UNCHECKED), True, failure["seed"]
            continue
        result.found, result.seed = True, failure["seed"]
        result.check, result.detail = violation["check"], violation["what"]
        result.replays = "yes" if replays(binary, grading, failure) else "NO"
        if shrinks and grading == "as built":
            result.shrunk = shrink(binary, failure["seed"])
        break
    result.seeds = min(at, end) - span.start
    return result


def replays(binary, grading, failure):
    """The seed alone gives the same trace and the same verdict."""
    command = [binary, "replay", str(failure["seed"]), "-o", "json", *GRADINGS[grading]]
    again, _ = simulate(command, 1)
    same = (again["trace_hash"], again["violation"]) == (failure["trace_hash"], failure["violation"])
    return same and again["verdict"] == "violation"


def shrink(binary, seed):
    """What is left of the failure, within the budget of the command."""
    place = binary.parent / f"{binary.name}-{seed}.toml"
    command = [binary, "shrink", str(seed), "-o", "json", "--out", place]
    try:
        return simulate(command, SHRINK_SECONDS)[0]
    except Missed:
        return None


def simulate(command, seeds):
    """The JSON that a run of the simulator prints, and its CPU seconds."""
    limit = SECONDS_PER_STEP + SECONDS_PER_SEED * seeds
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    timer = threading.Timer(limit, process.kill)
    timer.start()
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    timer.cancel()
    try:
        return json.loads(text), used.ru_utime + used.ru_stime
    except ValueError:
        raise Missed(f"the simulator ended with {process.returncode} and no summary") from None


def sources():
    """Every file of the work tree that is not built, by its path in the tree."""
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}


def run(command, folder, environment=None, check=True):
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=check
    )


# Builds ahead of the mutant that is graded.
AHEAD = 2

COLUMNS = "{:<8} {:<10} {:<7} {:>6} {:>8} {:>8} {:<7} {:<7} {:<7} {}"


def row(mutant, grading, result, why=None):
    result = result or Grade()
    cells = [mutant.id, grading, "found" if result.found else "missed"]
    cells += [result.seeds, result.seed if result.found else "-", f"{result.cpu:.1f}"]
    cells += [result.check, result.replays, result.shrunk_to(), why or result.detail]
    print(COLUMNS.format(*map(str, cells))[:180].rstrip(), flush=True)
    record = {**dataclasses.asdict(result), "id": mutant.id, "grading": grading}
    return {**record, "missed_because": why}


def built_ahead(builder, tree, mutants):
    """Each mutant with its build, which runs while those before it are graded.

    No more of them than that: a mutant that turns out to need another build waits behind them.
    """
    waiting = collections.deque()
    for mutant in mutants:
        waiting.append((mutant, builder.submit(tree.build, mutant, CHECKED)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def grade_all(mutants, tree, arguments):
    """Builds mutant k+1 while the seeds of mutant k run."""
    records = []
    heads = ["id", "grading", "", "seeds", "seed", "cpu s", "check", "replay", "shrunk", "what"]
    span = range(arguments.seed_start, arguments.seed_start + arguments.seeds)
    gradings = ["as built"] if arguments.median > 1 else list(GRADINGS)
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as builder:
        unmutated = builder.submit(tree.build, None, CHECKED)
        baseline = Baseline(unmutated.result())
        print(COLUMNS.format(*heads).rstrip(), flush=True)
        for mutant, checked in built_ahead(builder, tree, mutants):
            builds = {CHECKED: checked}

            def build(rustflags, mutant=mutant, builds=builds):
                if rustflags not in builds:
                    builds[rustflags] = builder.submit(tree.build, mutant, rustflags)
                return builds[rustflags].result()

            for grading in gradings:
                try:
                    result = grade_ranges(
                        build, grading, baseline, span, arguments.jobs, arguments.median
                    )
                    records.append(row(mutant, grading, result))
                except Missed as why:
                    records.append(row(mutant, grading, None, str(why)))
    print(shrunk_summary(records))
    if baseline.ignored():
        print(f"ignored, as they fail without a mutant: seeds {baseline.ignored()}")
    return records


def shrunk_summary(records):
    """How many failures ended short: at most 3 fault units and 10 client operations."""
    ends = [record["shrunk"]["after"] for record in records if record.get("shrunk")]
    short = sum(end["fault_units"] <= 3 and end["operations"] <= 10 for end in ends)
    return f"shrunk to at most 3 fault units and 10 operations: {short} of {len(ends)}"


def check_patches(mutants):
    """That every patch still applies, and that an id means one; builds nothing."""
    ids = [mutant.id for mutant in mutants]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    bad = [
        mutant
        for mutant in mutants
        if run(["git", "apply", "--check", str(mutant.path)], ROOT, check=False).returncode != 0
    ]
    for mutant in bad:
        print(f"{mutant.path}: does not apply", file=sys.stderr)
    for one in twice:
        print(f"{one}: an id of several patches; rename all but one", file=sys.stderr)
    return 1 if bad or twice else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=pathlib.Path, default=None, help="default: scenarios/mutants")
    parser.add_argument("--seeds", type=int, default=2000, help="limit of each mutant and grading")
    parser.add_argument("--seed-start", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scratch", type=pathlib.Path, default=None)
    parser.add_argument("--json", type=pathlib.Path, default=None, help="also write the table here")
    parser.add_argument(
        "--median", type=int, default=1, metavar="N", help="medians over N ranges of seeds, as built"
    )
    parser.add_argument("--only", default="", help="ids of the mutants to grade, with commas")
    check = "only see that the patches apply, those of scenarios/mutants-open too"
    parser.add_argument("--check", action="store_true", help=check)
    arguments = parser.parse_args()
    folders = [arguments.dir] if arguments.dir else FOLDERS if arguments.check else FOLDERS[:1]
    paths = [path for folder in folders for path in sorted(folder.resolve().glob("*.patch"))]
    where = " and ".join(str(folder) for folder in folders)
    if not paths:
        print(f"no *.patch in {where}", file=sys.stderr)
        return 2
    mutants = [Mutant(path) for path in paths]
    wanted = {name for name in arguments.only.split(",") if name}
    unknown = wanted - {mutant.id for mutant in mutants}
    if unknown:
        print(f"no mutant in {where} has the id {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    mutants = [mutant for mutant in mutants if not wanted or mutant.id in wanted]
    if arguments.check:
        return check_patches(mutants)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    scratch = (arguments.scratch or target / "mutant-runs").resolve()
    began = time.monotonic()
    records = grade_all(mutants, Tree(scratch), arguments)
    summarize(records, time.monotonic() - began)
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=2) + "\n")
    as_built = [record for record in records if record["grading"] == "as built"]
    return 0 if all(record["found"] for record in as_built) else 1


# The budget of a job that runs for each change.
SHORT_SECONDS = 600


def summarize(records, seconds):
    """How many were caught, at what cost, by which checks; and which checks caught nothing."""
    print()
    for grading in GRADINGS:
        graded = [record for record in records if record["grading"] == grading]
        if not graded:
            continue
        costs = sorted(record["cpu"] for record in graded if record["found"])
        within = sum(1 for at in range(len(costs)) if sum(costs[: at + 1]) <= SHORT_SECONDS)
        print(
            f"{grading}: {len(costs)} of {len(graded)} caught, "
            f"{within} of them within {SHORT_SECONDS // 60} minutes of CPU on seeds"
        )
    print(f"in all {seconds / 60:.1f} minutes, builds included")
    fired = {}
    for record in records:
        if record["found"]:
            fired.setdefault(record["check"], set()).add(record["id"])
    for check in sorted(fired, key=lambda check: (-len(fired[check]), check)):
        print(f"  {check:<6} caught {' '.join(sorted(fired[check]))}")
    idle = [check for check in check_names() if check not in fired]
    print(f"  caught nothing here, proven by their own tests alone: {' '.join(idle)}")


def check_names():
    """Every statement that the simulator judges, in its order."""
    text = (ROOT / "sim" / "src" / "checkers" / "mod.rs").read_text()
    return re.findall(r'\("([A-Z]\d+)", Box::new', text)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError, Missed) as trouble:
        print(f"mutants: {trouble}", file=sys.stderr)
        sys.exit(3)
