#!/usr/bin/env python3
"""The long sweep of a night, and proof that it could have failed.

First a planted bug, the canary, is swept by the same command: where it survives, a sweep without a
failure says nothing. Then seeds that are new each day, with a ledger: the same command on the same day
goes on where it was ended.

Exit codes: 0 no failure and the canary was caught, 1 a failure or a canary that survives, 2 usage,
3 the harness failed.
"""

import argparse
import datetime
import os
import pathlib
import subprocess
import sys

import mutants

CANARY = mutants.ROOT / "scenarios" / "mutants" / "M06_ack_before_fsync.patch"
# A bug that everyone knows must not need more.
CANARY_SEEDS = 2000
SEEDS_A_DAY = 10_000_000


def sweep(binary, *options):
    """The exit code of a sweep. What the environment says about shards is for the long one alone."""
    command = [binary, "run", *map(str, options)]
    print("+", *command, file=sys.stderr, flush=True)
    return subprocess.run(command).returncode


def canary_is_caught(patch, scratch, seed_start):
    mutant = mutants.Mutant(patch)
    binary = mutants.Tree(scratch).build(mutant, mutants.CHECKED)
    options = ["--seeds", CANARY_SEEDS, "--seed-start", seed_start, "--shard", "none", "--fail-fast"]
    code = sweep(binary, *options)
    if code not in (0, 1):
        raise mutants.Missed(f"the sweep of the canary ended with {code}")
    verdict = "was caught" if code == 1 else f"SURVIVED {CANARY_SEEDS} seeds: the sweep cannot be trusted"
    print(f"canary {mutant.id} {verdict}", flush=True)
    return code == 1


def main():
    today = (datetime.date.today() - datetime.date(2025, 1, 1)).days
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", mutants.ROOT / "target")).resolve()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="vivarium-sim")
    parser.add_argument("--seeds", type=int, default=200_000)
    parser.add_argument("--seed-start", type=int, default=today * SEEDS_A_DAY, help="default: by the day")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=pathlib.Path, default=target / "nightly", help="ledger and report")
    parser.add_argument("--canary", type=pathlib.Path, default=CANARY, help="a mutant's patch")
    parser.add_argument("--scratch", type=pathlib.Path, default=target / "mutant-runs")
    arguments = parser.parse_args()
    caught = canary_is_caught(arguments.canary.resolve(), arguments.scratch, arguments.seed_start)
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    code = sweep(
        arguments.binary.resolve(),
        *("--seeds", arguments.seeds, "--seed-start", arguments.seed_start, "--jobs", arguments.jobs),
        *("--ledger", folder / f"seeds-{arguments.seed_start}.jsonl", "--junit", folder / "report.xml"),
    )
    return code or (0 if caught else 1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, subprocess.CalledProcessError, mutants.Missed) as trouble:
        print(f"nightly: {trouble}", file=sys.stderr)
        sys.exit(3)
