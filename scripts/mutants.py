#!/usr/bin/env python3
"""Proof of power: plants each mutant of a folder in a copy of the tree and counts the seeds to its catch.

A mutant is a unified diff whose head may hold comment lines (`# id:`, `# source:`, `# mechanism:`,
`# expected:`). Each is graded twice: as built, and with assertions and white-box checks off, as in
the production builds of others. A violation counts only if the tree without the mutant does not fail
on the same seed. The next mutant is built while the last one runs.

Exit codes: 0 all found in both gradings, 1 some were missed, 2 usage, 3 the runner itself failed.
"""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROFILE = "mutants"
# Seeds of the first step; each further step is twice as long.
FIRST_STEP = 50
# A seed takes milliseconds; a mutant that hangs the simulator is not found by it.
SECONDS_PER_SEED = 3
SECONDS_PER_STEP = 120


@dataclasses.dataclass(frozen=True)
class Grading:
    name: str
    rustflags: str
    options: tuple


GRADINGS = (
    Grading("as built", "--cfg madsim", ()),
    Grading("black box", "--cfg madsim --cfg vivarium_unchecked", ("--no-white-box",)),
)


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
        self.copy()

    def copy(self):
        """Makes the copy equal to the work tree. Files that did not change keep their times, so
        that what was built from them stays built."""
        names = sources()
        for name in names:
            source, target = ROOT / name, self.folder / name
            if not target.is_file() or target.read_bytes() != source.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        for path in self.folder.rglob("*"):
            if path.is_file() and str(path.relative_to(self.folder)) not in names:
                path.unlink()

    def build(self, mutant):
        """Binaries with the mutant in them, one a grading; `None`: the tree as it is."""
        try:
            if mutant:
                self.apply(mutant)
            name = mutant.path.stem if mutant else "unmutated"
            return {grading.name: self.compile(grading, name) for grading in GRADINGS}
        finally:
            self.copy()

    def apply(self, mutant):
        # Outside any repository, so that the paths are those of the tree whatever lies around it.
        alone = {**os.environ, "GIT_CEILING_DIRECTORIES": str(self.scratch)}
        for command in (
            ["git", "apply", "--whitespace=nowarn", str(mutant.path)],
            ["patch", "-p1", "--batch", "--forward", "--input", str(mutant.path)],
        ):
            if run(command, self.folder, alone, check=False).returncode == 0:
                return
            self.copy()
        raise Missed("the patch does not apply")

    def compile(self, grading, name):
        place = self.scratch / ("build-" + grading.name.replace(" ", "-"))
        environment = {
            **os.environ,
            "RUSTFLAGS": grading.rustflags,
            "CARGO_TARGET_DIR": str(place),
        }
        command = ["cargo", "build", "--locked", "--quiet", "--profile", PROFILE]
        command += ["--package", "vivarium-sim", "--bin", "vivarium-sim"]
        done = run(command, self.folder, environment, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
            raise Missed("does not compile: " + (errors or ["no reason given"])[0])
        binary = self.scratch / "bin" / f"{name}-{grading.name.replace(' ', '-')}"
        shutil.copy2(place / PROFILE / "vivarium-sim", binary)
        return binary


class Baseline:
    """Which seeds fail without any mutant. Asked only for seeds that a mutant fails on."""

    def __init__(self, binaries):
        self.binaries, self.known = binaries, {}

    def fails(self, grading, seed):
        key = (grading.name, seed)
        if key not in self.known:
            command = [self.binaries[grading.name], "replay", str(seed), "-o", "json"]
            done, _ = simulate(command + list(grading.options), 1)
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


def grade(binary, grading, baseline, start, limit, jobs):
    """Runs seeds until one is caught that the unmutated tree passes."""
    result, at, step, end = Grade(), start, FIRST_STEP, start + limit
    while at < end:
        count = min(step, end - at)
        command = [binary, "run", "--fail-fast", "--seeds", str(count), "--seed-start", str(at)]
        command += ["--jobs", str(jobs), "-o", "json", *grading.options]
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
        result.found, result.seed = True, failure["seed"]
        result.check, result.detail = violation["check"], violation["what"]
        result.replays = "yes" if replays(binary, grading, failure) else "NO"
        break
    result.seeds = min(at, end) - start
    return result


def replays(binary, grading, failure):
    """The seed alone gives the same trace and the same verdict."""
    command = [binary, "replay", str(failure["seed"]), "-o", "json", *grading.options]
    again, _ = simulate(command, 1)
    same = (again["trace_hash"], again["violation"]) == (failure["trace_hash"], failure["violation"])
    return same and again["verdict"] == "violation"


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


COLUMNS = "{:<8} {:<10} {:<7} {:>6} {:>8} {:>8} {:<7} {:<7} {:<7} {}"


def row(mutant, grading, result, why=None):
    result = result or Grade()
    cells = [mutant.id, grading.name, "found" if result.found else "missed"]
    cells += [result.seeds, result.seed if result.found else "-", f"{result.cpu:.1f}"]
    cells += [result.check, result.replays, "-", why or result.detail]
    print(COLUMNS.format(*map(str, cells))[:200].rstrip(), flush=True)
    record = {**dataclasses.asdict(result), "id": mutant.id, "grading": grading.name}
    return {**record, "shrunk": None, "missed_because": why}


def grade_all(mutants, tree, arguments):
    """Builds mutant k+1 while the seeds of mutant k run."""
    records = []
    heads = ["id", "grading", "", "seeds", "seed", "cpu s", "check", "replay", "shrunk", "what"]
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as builder:
        unmutated = builder.submit(tree.build, None)
        builds = [(mutant, builder.submit(tree.build, mutant)) for mutant in mutants]
        baseline = Baseline(unmutated.result())
        print(COLUMNS.format(*heads).rstrip())
        for mutant, build in builds:
            for grading in GRADINGS:
                try:
                    binary = build.result()[grading.name]
                    span = (arguments.seed_start, arguments.seeds, arguments.jobs)
                    records.append(row(mutant, grading, grade(binary, grading, baseline, *span)))
                except Missed as why:
                    records.append(row(mutant, grading, None, str(why)))
    if baseline.ignored():
        print(f"ignored, as they fail without a mutant: seeds {baseline.ignored()}")
    return records


def check_patches(mutants):
    """That every patch still applies; builds nothing."""
    bad = [
        mutant
        for mutant in mutants
        if run(["git", "apply", "--check", str(mutant.path)], ROOT, check=False).returncode != 0
    ]
    for mutant in bad:
        print(f"{mutant.path}: does not apply", file=sys.stderr)
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "scenarios" / "mutants")
    parser.add_argument("--seeds", type=int, default=2000, help="limit of each mutant and grading")
    parser.add_argument("--seed-start", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--scratch", type=pathlib.Path, default=None)
    parser.add_argument("--json", type=pathlib.Path, default=None, help="also write the table here")
    parser.add_argument("--check", action="store_true", help="only see that the patches apply")
    arguments = parser.parse_args()
    paths = sorted(arguments.dir.resolve().glob("*.patch"))
    if not paths:
        print(f"no *.patch in {arguments.dir}", file=sys.stderr)
        return 2
    mutants = [Mutant(path) for path in paths]
    if arguments.check:
        return check_patches(mutants)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    scratch = (arguments.scratch or target / "mutants").resolve()
    began = time.monotonic()
    records = grade_all(mutants, Tree(scratch), arguments)
    found = sum(record["found"] for record in records)
    seconds = time.monotonic() - began
    print(f"{found} of {len(records)} gradings caught their mutant in {seconds:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(records, indent=2) + "\n")
    return 0 if found == len(records) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError, Missed) as trouble:
        print(f"mutants: {trouble}", file=sys.stderr)
        sys.exit(3)
