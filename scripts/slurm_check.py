#!/usr/bin/env python3
"""Runs packaging/slurm/sweep.sbatch for real: a Slurm of one node, all of it in a temporary folder and
on loopback, an array of shards, and the merged result beside that of an unsharded run.

Needs Debian's packages slurm-wlm and munge, and root (slurmd starts jobs as another user would).

Exit codes: 0 the same verdicts and trace hashes, 1 they differ, 2 something is not installed, 3 Slurm failed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo"]

CONFIG = """\
ClusterName=vivarium
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Trouble(Exception):
    """Slurm did not do what it was asked."""


class Cluster:
    """A Slurm of one node; its processes end with it."""

    def __init__(self, folder, stack):
        self.folder, self.stack = folder, stack
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def start(self):
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        munge = self.folder / "munge"
        self.spawn(
            ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={munge}/socket"]
            + [f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"]
        )
        wait(lambda: (munge / "socket").exists(), "munged makes its socket")
        config = CONFIG.format(
            folder=self.folder,
            host=socket.gethostname().split(".")[0],
            user=pwd.getpwuid(os.getuid()).pw_name,
            controller=free_port(),
            node=free_port(),
            cores=os.cpu_count(),
        )
        (self.folder / "slurm.conf").write_text(config)
        self.spawn(["slurmctld", "-D", "-c"])
        self.spawn(["slurmd", "-D"])
        wait(lambda: "idle" in self.run(["sinfo", "--noheader", "--format=%T"], check=False), "the node is idle")

    def spawn(self, command):
        log = open(self.folder / f"{command[0]}.out", "wb")
        process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.stack.callback(end, process, log)

    def run(self, command, check=True):
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise Trouble(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def sweep(self, shards, options, binary):
        """Runs the array and returns the folder of its ledgers."""
        ledgers = self.folder / "ledgers"
        self.environment |= {"VIVARIUM_SIM": str(binary), "VIVARIUM_SWEEP_FOLDER": str(ledgers)}
        script = ROOT / "packaging" / "slurm" / "sweep.sbatch"
        command = ["sbatch", "--parsable", f"--array=1-{shards}", f"--chdir={self.folder}", str(script)]
        job = self.run(command + options).strip()
        wait(lambda: not self.run(["squeue", "--noheader", f"--job={job}"], check=False).strip(), "the array ends", 600)
        return ledgers

    def logs(self):
        for path in sorted(self.folder.glob("*.out")) + sorted(self.folder.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-12:]
            print(f"--- {path.name}", *tail, sep="\n", file=sys.stderr)


def end(process, log):
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(condition, what, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise Trouble(f"waited {seconds} s in vain: {what}")
        time.sleep(0.2)


def results(ledgers):
    """Verdict and trace hash of each seed."""
    found = {}
    for path in ledgers:
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if "verdict" in record:
                found[record["seed"]] = (record["verdict"], record["trace_hash"])
    return found


def document(command, environment=None):
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 1):
        raise Trouble(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def compare(binary, arguments, folder, cluster):
    options = ["--seeds", str(arguments.seeds), "--sim-seconds", "1"]
    ledgers = cluster.sweep(arguments.shards, options, binary)
    shards = sorted(ledgers.glob("*.jsonl"))
    whole = folder / "whole.jsonl"
    alone = document([binary, "run", *options, "--shard", "none", "--ledger", whole, "-o", "json"])
    merged = document([binary, "merge", ledgers, "-o", "json"])
    wrong = []
    if len(shards) != arguments.shards or any(len(results([shard])) == 0 for shard in shards):
        wrong.append(f"{len(shards)} ledgers, of which each of {arguments.shards} tasks owes one with results")
    if results(shards) != results([whole]):
        wrong.append("verdicts or trace hashes differ from the unsharded run")
    for name in ("seeds", "events", "messages", "faults", "coverage", "classes"):
        if merged[name] != alone[name]:
            wrong.append(f"{name}: {merged[name]} merged, {alone[name]} unsharded")
    print(f"{len(shards)} tasks of a Slurm array ran {merged['seeds']} seeds:", *(wrong or ["as one process does"]))
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="vivarium-sim")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--shards", type=int, default=3)
    arguments = parser.parse_args()
    missing = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; apt-get install slurm-wlm munge", file=sys.stderr)
        return 2
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vivarium-slurm-")))
        folder.chmod(0o755)
        cluster = Cluster(folder, stack)
        try:
            cluster.start()
            return compare(arguments.binary.resolve(), arguments, folder, cluster)
        except Trouble as trouble:
            cluster.logs()
            print(f"slurm: {trouble}", file=sys.stderr)
            return 3


if __name__ == "__main__":
    sys.exit(main())
