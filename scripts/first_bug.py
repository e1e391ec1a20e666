#!/usr/bin/env python3
"""Runs the commands of the chapter "Your first bug" in docs/debugging.md, just as they stand there.

They run in a copy of the tree, so that the bug is planted nowhere else. A command should end with 0,
or with the code that a comment behind it names (`# exit code 1`). What the commands should have made
is looked at in the end.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHAPTER = "## Your first bug"
# Built as `make mutants` builds: the same code, sooner.
SOON = {
    "CARGO_PROFILE_RELEASE_LTO": "off",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "256",
    "CARGO_PROFILE_RELEASE_OPT_LEVEL": "2",
    "CARGO_PROFILE_RELEASE_DEBUG": "false",
    "CARGO_PROFILE_RELEASE_INCREMENTAL": "true",
}
PATIENCE_S = 1800


def commands():
    """Each line of the chapter's `sh` blocks, and the exit code that it should end with."""
    text = (ROOT / "docs/debugging.md").read_text()
    chapter = text.split(f"\n{CHAPTER}\n", 1)[1].split("\n## ", 1)[0]
    for block in re.findall(r"(?ms)^```sh\n(.*?)^```$", chapter):
        for line in block.splitlines():
            command, _, comment = line.partition(" #")
            named = re.search(r"exit code (\d+)", comment)
            if command.strip():
                yield command.strip(), int(named[1]) if named else 0


def copy_tree(folder):
    """What git knows, and what a person has added and not ignored."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    names = {name for name in names.split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        source, target = ROOT / name, folder / name
        # Files that did not change keep their times, so that what was built of them stays built.
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "target"]
        for path in (pathlib.Path(place) / file for file in files):
            if str(path.relative_to(folder)) not in names:
                path.unlink()


def run(folder):
    environment = {**SOON, **os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
    environment.pop("CARGO_TARGET_DIR", None)
    for number, (command, expected) in enumerate(commands(), 1):
        print(f"{number}. {command}", flush=True)
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, timeout=PATIENCE_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
        shown = done.stdout.splitlines()[-6:]
        print("".join(f"     {line[:160]}\n" for line in shown), end="", flush=True)
        if done.returncode != expected:
            print(f"FAILED: ended with {done.returncode}, and not {expected}", file=sys.stderr)
            return 1
        yielded = check(command, done.stdout, folder)
        if yielded:
            print(f"FAILED: {yielded}", file=sys.stderr)
            return 1
    return 0


def check(command, output, folder):
    """What is wrong with what a command did, beyond its exit code."""
    if " run " in command and "S6" not in output:
        return "the sweep does not name the broken promise"
    if " shrink " in command:
        units = re.search(r"(?m)^to (\d+) fault units, (\d+) operations", output)
        if not units or int(units[1]) > 3 or int(units[2]) > 10:
            return "the failure did not get small"
    if " report " in command:
        page = folder / re.search(r"--out (\S+)", command)[1]
        if "VIOLATION" not in page.read_text():
            return f"{page.name} shows no violation"
    return None


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--folder", type=pathlib.Path, help="where the copy goes, and stays [default: in target]")
    given = options.parse_args()
    if len(list(commands())) < 8:
        print(f"docs/debugging.md: the commands of the chapter {CHAPTER!r} were not found", file=sys.stderr)
        return 2
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    folder = (given.folder or target / "first-bug/tree").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    copy_tree(folder)
    try:
        return run(folder)
    finally:
        # Whatever went wrong, the next run begins with a tree without the bug.
        copy_tree(folder)


if __name__ == "__main__":
    sys.exit(main())
