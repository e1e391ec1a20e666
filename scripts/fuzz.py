#!/usr/bin/env python3
"""Fuzzes core: bytes, folders, inputs and transactions of any kind, for some time each.

Builds the targets of fuzz/ with `cargo fuzz` (installed where it is missing; needs a nightly compiler),
lets each run on the committed corpus and on the golden data, and puts the smallest set of inputs that
reaches as much into fuzz/corpus/TARGET. A finding is kept under target/fuzz/findings and printed.

Exit codes: 0 nothing found, 1 a finding, 2 usage or a missing tool, 3 the runner itself failed.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "core/tests/golden"
TARGETS = ["config_text", "server_step", "snapshot_scan", "tree_vs_model", "txnlog_scan", "wire_decode"]
LONGEST = 4096
# One input must not take longer, and a target not more memory.
SECONDS_PER_INPUT, MEMORY_MB = 10, 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--only", default=",".join(TARGETS), help="targets, with commas")
    parser.add_argument("--no-grow", action="store_true", help="leave fuzz/corpus as it is")
    options = parser.parse_args()
    chosen = options.only.split(",")
    unknown = sorted(set(chosen) - set(TARGETS))
    if unknown:
        print(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    found = False
    try:
        binaries = build()
        for target in chosen:
            found |= fuzz(binaries / target, target, options.seconds, not options.no_grow)
    except FileNotFoundError as missing:
        print(f"{missing.filename} is missing; fuzzing needs rustup with a nightly toolchain", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as failed:
        print(f"{' '.join(map(str, failed.cmd))} ended with {failed.returncode}", file=sys.stderr)
        return 3
    return 1 if found else 0


def build():
    if not shutil.which("cargo-fuzz"):
        subprocess.run(["cargo", "install", "--locked", "cargo-fuzz"], check=True)
    target = ROOT / "target/fuzz"
    # Core has no unsafe code: an address sanitizer would only cost time.
    command = ["cargo", "+nightly", "fuzz", "build", "--fuzz-dir", "fuzz", "--sanitizer", "none"]
    command += ["--features", "engine", "--target-dir", str(target)]
    subprocess.run(command, cwd=ROOT, check=True)
    return next(target.glob("*/release/wire_decode")).parent


def fuzz(binary, target, seconds, grow):
    """Whether it found anything."""
    kept = ROOT / "fuzz/corpus" / target
    work = ROOT / "target/fuzz/work" / target
    seeds = ROOT / "target/fuzz/seeds" / target
    findings = ROOT / "target/fuzz/findings"
    for folder in (kept, work, seeds, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]()):
        (seeds / str(number)).write_bytes(seed[:LONGEST])
    limits = [f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS_PER_INPUT}"]
    limits += [f"-artifact_prefix={findings}/{target}-"]
    run = subprocess.run(
        [binary, *limits, f"-max_total_time={seconds}", work, kept, seeds], capture_output=True, text=True, errors="replace"
    )
    done = re.findall(r"Done (\d+) runs", run.stderr)
    if run.returncode != 0:
        print(f"{target}: a finding, below {findings}\n{run.stderr[-4000:]}")
        return True
    print(f"{target}: {done[-1] if done else '?'} inputs in {seconds} s, nothing found", flush=True)
    if grow:
        merged = ROOT / "target/fuzz/merged" / target
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir(parents=True)
        merge = [binary, *limits, "-set_cover_merge=1", merged, kept, seeds, work]
        subprocess.run(merge, check=True, capture_output=True)
        shutil.rmtree(kept)
        shutil.copytree(merged, kept)
        print(f"{target}: {len(list(kept.iterdir()))} inputs are kept")
    return False


def files(pattern):
    return sorted(path for path in GOLDEN.glob(f"zookeeper-3.9.5/*/version-2/{pattern}"))


def written(path):
    """Without the padding."""
    return path.read_bytes().rstrip(b"\0") + b"\0"


def payloads(log):
    """What a log's records hold."""
    at = 16
    while at + 12 < len(log):
        length = int.from_bytes(log[at + 8 : at + 12], "big")
        if length == 0:
            return
        yield log[at + 12 : at + 12 + length]
        at += 12 + length + 1


def vectors(direction):
    """Frames that a client and Apache sent each other."""
    for line in (GOLDEN / "client-vectors.txt").read_text().splitlines():
        frame = re.search(rf"{direction} (?:\d+ )?([0-9a-f]{{8,}})$", line)
        if frame:
            yield bytes.fromhex(frame[1][: len(frame[1]) // 2 * 2])


def wire_seeds():
    for frame in vectors(">"):
        yield bytes([0]) + frame[4:]
        yield bytes([1]) + frame[4:]
        yield bytes([5]) + frame
    for body in vectors("<"):
        yield bytes([2]) + body
    for log in files("log.*"):
        for payload in payloads(log.read_bytes()):
            yield bytes([9]) + payload


def log_seeds():
    for log in files("log.*"):
        data = written(log)
        for flags in (0, 2):
            yield bytes([flags]) + data
        short = [payload for payload in payloads(data) if len(payload) < 256]
        for start in range(0, len(short), 8):
            yield bytes([3]) + b"".join(bytes([len(payload)]) + payload for payload in short[start : start + 8])


def snapshot_seeds():
    for snapshot in files("snapshot.*"):
        data = snapshot.read_bytes()
        for flags in (0, 4):
            yield bytes([flags]) + data
        # The body: behind the header, up to the path "/" that ends the nodes.
        body = data[16 : data.index(b"\0\0\0\1/", 16) + 5]
        yield bytes([1]) + body
        yield bytes([2]) + body + b"\0\0\0\x0aBenWasHere"


def config_seeds():
    yield b"tickTime=2000\ndataDir=/data\nclientPort=2181\n"
    yield (
        b"tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/data\ndataLogDir=/log\nclientPort=2181\n"
        b"server.1=a:2888:3888;2181\nserver.2=b:2888:3888:observer\nserver.3=[::1]:2888:3888|c:1:2\n"
        b"group.1=1:2\ngroup.2=3\nweight.1=2\nautopurge.purgeInterval=1\n4lw.commands.whitelist=*\n"
    )


def no_seeds():
    return []


SEEDS = {
    "config_text": config_seeds,
    "server_step": no_seeds,
    "snapshot_scan": snapshot_seeds,
    "tree_vs_model": no_seeds,
    "txnlog_scan": log_seeds,
    "wire_decode": wire_seeds,
}

if __name__ == "__main__":
    sys.exit(main())
