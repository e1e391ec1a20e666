"""What the servers themselves say has happened: who led, and how each learner was brought up to
date. Read from their logs, so that a run can prove that it exercised what it claims."""

import collections
import json
import re

from ensemble import Kind

Sync = collections.namedtuple("Sync", "leader learner mode")
Lead = collections.namedtuple("Lead", "leader")

HANDLER = re.compile(r"\[(LearnerHandler-[^\]]+)\] LearnerHandler - (.*)")
LEARNER = re.compile(r"Synchronizing with Learner sid: (\d+) ")
MODES = (("Sending DIFF", "DIFF"), ("Sending TRUNC", "TRUNC"), ("Sending snapshot", "SNAP"))
OURS = {"DiffWindow": "DIFF", "DiffDisk": "DIFF", "Trunc": "TRUNC", "Snap": "SNAP"}


class _Tail:
    """The lines of a log that were not read yet; a line that is still being written waits."""

    def __init__(self, path):
        self.path, self.offset = path, 0

    def lines(self):
        if not self.path.exists():
            return []
        with open(self.path, "rb") as log:
            log.seek(self.offset)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole)
        return whole.decode(errors="replace").splitlines()


class _ApacheLog:
    """An Apache leader names the learner, then the mode, then says that NEWLEADER is queued."""

    def __init__(self, seat):
        self.seat, self.tail = seat, _Tail(seat.log_of(Kind.APACHE))
        self.learners, self.modes = {}, {}

    def events(self):
        for line in self.tail.lines():
            if "Peer state changed: leading - broadcast" in line:
                yield Lead(self.seat.number)
            if match := HANDLER.search(line):
                yield from self._handler(*match.groups())

    def _handler(self, thread, text):
        if match := LEARNER.match(text):
            self.learners[thread] = int(match.group(1))
        for start, mode in MODES:
            if text.startswith(start):
                self.modes[thread] = mode
        if text.startswith("Sending NEWLEADER") and thread in self.modes:
            yield Sync(self.seat.number, self.learners[thread], self.modes.pop(thread))


class _VivariumLog:
    def __init__(self, seat):
        self.seat, self.tail = seat, _Tail(seat.log_of(Kind.VIVARIUM))

    def events(self):
        for line in self.tail.lines():
            try:
                fields = json.loads(line)
            except ValueError:
                continue
            if fields.get("message") == "leadership established":
                yield Lead(self.seat.number)
            elif fields.get("how") in OURS and "learner" in fields:
                yield Sync(self.seat.number, int(fields["learner"]), OURS[fields["how"]])


class Chronicle:
    """Everything that the servers of an ensemble have logged so far."""

    def __init__(self, ensemble):
        self.ensemble = ensemble
        self.readers = [(kind, log(seat)) for seat in ensemble.seats for kind, log in ((Kind.APACHE, _ApacheLog), (Kind.VIVARIUM, _VivariumLog))]
        self.syncs, self.leads = collections.Counter(), collections.Counter()

    def read(self):
        """Takes in what is new; answers it. A learner's kind is who sits there now."""
        fresh = []
        for kind, log in self.readers:
            for event in log.events():
                fresh.append(event)
                if isinstance(event, Lead):
                    self.leads[kind] += 1
                else:
                    learner = self.ensemble.seat(event.learner).kind
                    self.syncs[kind, learner, event.mode] += 1
        return fresh
