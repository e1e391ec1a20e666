#!/usr/bin/env python3
"""Proof that the published traces bite: each scenario fails with its mutant, and passes without.

Usage: published.py UNMUTATED ID=BINARY..   BINARY is a simulator with mutant ID in it, as make mutants
leaves them in target/mutant-runs/bin. A scenario names its mutant in `why`: "Kills M11: ..".
Exit codes: 0 all as they should, 1 one is not, 2 usage.
"""

import json
import pathlib
import re
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "scenarios" / "published"


def replay(binary, scenario):
    command = [binary, "replay", "--scenario", str(scenario), "-o", "json"]
    document = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    violation = document["violation"] or {"check": "ok"}
    return violation["check"]


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    unmutated, mutants = sys.argv[1], dict(pair.split("=", 1) for pair in sys.argv[2:])
    wrong = 0
    for scenario in sorted(FOLDER.glob("*.toml")):
        found = re.search(r"Kills (\w+)", scenario.read_text())
        mutant = found.group(1) if found else "?"
        without = replay(unmutated, scenario)
        with_it = replay(mutants[mutant], scenario) if mutant in mutants else "not built"
        good = without == "ok" and with_it not in ("ok", "not built")
        wrong += not good
        print(f"{scenario.stem}: {mutant}: without it {without}, with it {with_it}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
