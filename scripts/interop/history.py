"""What the clients of an ensemble said and heard, recorded, and judged by the checkers of the simulator."""

import json
import subprocess

from record import Recorder
from trouble import HarnessTrouble

RIGHT, WRONG, UNUSABLE = 0, 1, 2


class History:
    """The recording of one ensemble; `judge` once its servers have ended."""

    def __init__(self, ensemble, sim):
        self.ensemble, self.sim = ensemble, sim
        self.path = ensemble.folder / "history.jsonl"
        servers = [(seat.number, *seat.address.split(":")) for seat in ensemble.seats]
        self.recorder = Recorder(self.path, servers)

    def begin(self):
        self.recorder.start()

    def end(self):
        self.recorder.stop()

    def hosts(self, seat=None):
        """Where clients connect that are to be recorded: one server's door, or all of them."""
        return self.recorder.hosts([seat.number] if seat else None)

    def judge(self):
        """Broken promises, and a line for the table. The log of a server that holds every transaction is
        the measure; where each of them was filled by a snapshot once, what clients saw has to do."""
        for seat in self.ensemble.seats:
            code, found = self._check("--log", seat.data / "version-2")
            if code != UNUSABLE:
                return self._verdict(code, found, f"with the log of server {seat.number}")
        return self._verdict(*self._check(), "without a log")

    def _check(self, *more):
        # Java's leaders answer a sync alone.
        command = [self.sim, "check", self.path, "--apache", "-o", "json", *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode not in (RIGHT, WRONG):
            return UNUSABLE, done.stderr.strip()
        return done.returncode, json.loads(done.stdout)

    def _verdict(self, code, found, measure):
        if code == UNUSABLE:
            raise HarnessTrouble(f"the history cannot be judged: {found}")
        violation = found["violation"]
        broken = [f"history, line {violation['line']}: {violation['check']}: {violation['what']}"] if violation else []
        text = f"{found['frames']} frames, {found['requests']} requests, {measure}, by {' '.join(found['judged_by'])}"
        return broken, text
