#!/usr/bin/env python3
"""One seed is one trace: the same hash and verdict in every process and from every build given.

Usage: determinism.py BINARY [BINARY..]   Each runs every seed twice. Exit code 1 on any difference.
"""

import json
import subprocess
import sys

SEEDS = [*range(1, 21), 62, 92, 318, 524, 1301]


def outcome(binary, seed):
    done = subprocess.run([binary, "replay", str(seed), "-o", "json"], capture_output=True, text=True)
    document = json.loads(done.stdout)
    return document["trace_hash"], document["verdict"], document["events"]


def main():
    binaries = sys.argv[1:]
    if not binaries:
        print(__doc__, file=sys.stderr)
        return 2
    differing = 0
    for seed in SEEDS:
        seen = {outcome(binary, seed) for binary in binaries for _ in range(2)}
        if len(seen) != 1:
            differing += 1
            print(f"seed {seed}: {sorted(seen)}")
    runs = 2 * len(binaries)
    print(f"{len(SEEDS)} seeds, {runs} processes each, {len(binaries)} builds: {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
