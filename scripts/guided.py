#!/usr/bin/env python3
"""Builds the simulator twice: to count what its runs do most, and to be fast there.

A guided build spends a fifth less time on a seed, and has the same trace of every seed. It takes twice as
long to build, so it pays for sweeps of an hour, not for the seed that one looks at. The profile is of the
tree as it is: build again after a change.

Standard output: the path of the binary. Exit codes: 0 built, 2 usage or a missing tool, 3 a build or a
run failed.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Runs as long as those that are to be fast; other seeds than a sweep begins with.
TRAINING = ["run", "--shard", "none", "--seed-start", "9000001", "--sim-seconds", "60", "--jobs", "1"]
SEEDS = 40


class Failed(Exception):
    """Why there is no binary, and the exit code that says so."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


def run(command, **options):
    print("+", *command, file=sys.stderr, flush=True)
    code = subprocess.run(list(map(str, command)), cwd=ROOT, stdout=sys.stderr, **options).returncode
    if code != 0:
        raise Failed(3, f"{command[0]} ended with {code}")


def profile_tool():
    """`llvm-profdata` of the very compiler: profiles of another LLVM are not read."""
    command = ["rustc", "--print", "target-libdir"]
    libraries = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tool = pathlib.Path(libraries.strip()).parent / "bin" / "llvm-profdata"
    if not tool.exists():
        raise Failed(2, f"there is no {tool}: rustup component add llvm-tools")
    return tool


def build(folder, flag):
    """Flags of the workspace stay: cargo joins the lists."""
    options = ["--config", f'build.rustflags=["{flag}"]', "--target-dir", folder]
    run(["cargo", "build", "--release", "--locked", "-p", "vivarium-sim", "--bin", "vivarium-sim", *options])
    return folder / "release" / "vivarium-sim"


def guided(folder, seeds):
    tool = profile_tool()
    counts, profile = folder / "counts", folder / "runs.profdata"
    counting = build(folder / "counting", f"-Cprofile-generate={counts}")
    # What the build itself or older runs left would be merged, too.
    shutil.rmtree(counts, ignore_errors=True)
    run([counting, *TRAINING, "--seeds", seeds])
    run([tool, "merge", "-o", profile, *sorted(counts.glob("*.profraw"))])
    return build(folder, f"-Cprofile-use={profile}")


def main():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, default=target / "guided", help="of both builds")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs that are counted")
    arguments = parser.parse_args()
    try:
        print(guided(arguments.folder.resolve(), arguments.seeds))
    except Failed as failed:
        print(f"guided.py: {failed}", file=sys.stderr)
        return failed.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
