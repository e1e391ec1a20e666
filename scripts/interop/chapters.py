"""What an ensemble is put through: each chapter brings one learner up to date in one way, or changes
the leader, while clients write on every server, and says what the servers' logs must show."""

import time

from ensemble import Kind
from events import Chronicle, Sync
from history import History
from load import Load
from process import until
from sessions import desert
from trouble import HarnessTrouble
from verdict import judge

# Apache keeps this many transactions for DIFF, and does not take a smaller number.
COMMIT_LOG = 500
ATTEMPTS = 3
# Proposals that one leader logs alone.
STRANDED = 10
DESERTER_MS = 3000


class Story:
    """An ensemble under load, and what has been seen of it."""

    def __init__(self, ensemble, sim):
        self.ensemble = ensemble
        self.history = History(ensemble, sim)
        self.chronicle = Chronicle(ensemble)
        self.load = None
        self.deserters = {}
        self.kills = self.stops = 0

    def begin(self):
        self.ensemble.start_all()
        self.history.begin()
        self.load = Load(self.ensemble, self.history)
        for seat in self.ensemble.seats:
            path = f"/deserted-at{seat.number}"
            self.deserters[path] = desert(seat, path, DESERTER_MS)
        self.load.start()
        self.write(40)

    def end(self):
        """Judges what the servers hold when the load has ended; answers every broken promise."""
        self.ensemble.wait_for_all()
        self.load.stop()
        try:
            return judge(self.ensemble, self.load, self.deserters)
        finally:
            self.load.close()
            self.history.end()
            self.chronicle.read()

    def judge_now(self):
        """The same, in the middle."""
        self.ensemble.wait_for_all()
        self.load.hold()
        found = judge(self.ensemble, self.load, self.deserters)
        self.load.go_on()
        return found

    # Small steps.

    def write(self, count, limit=60):
        """Waits until the writers were acknowledged that much more."""
        enough = self.load.acknowledged() + count
        until(f"{count} writes", limit, lambda: self._writes_reach(enough))

    def _writes_reach(self, enough):
        self.ensemble.check_alive()
        return self.load.acknowledged() >= enough

    def kill(self, seat):
        self.ensemble.kill(seat)
        self.kills += 1

    def stop(self, seat):
        self.ensemble.stop(seat)
        self.stops += 1

    def replace(self, seat, kind):
        # What the logs say of this learner until now, they say of the one before.
        self.chronicle.read()
        self.ensemble.replace(seat, kind)

    def come_back(self, seat):
        self.ensemble.start(seat)
        self.ensemble.wait_for_all()

    def lead(self, seat):
        """Makes this server the leader: the present one is killed, and higher ids stay away meanwhile."""
        for _ in range(ATTEMPTS):
            leader = self.ensemble.wait_for_all()
            if leader is seat:
                return
            # With equal histories the highest id wins.
            self.load.hold()
            time.sleep(0.3)
            voters = [one for one in self.ensemble.seats if not one.observes]
            higher = [one for one in voters if one.number > seat.number]
            for one in {leader, *higher}:
                self.kill(one)
            self.load.go_on()
            if leader not in higher:
                self.ensemble.start(leader)
            self.ensemble.wait_for_leader([one for one in voters if one not in higher])
            for one in higher:
                self.ensemble.start(one)
        raise HarnessTrouble(f"{seat.name} was not elected in {ATTEMPTS} attempts")

    def seen(self, leader, learner, mode):
        wanted = Sync(leader.number, learner.number, mode)
        return wanted in self.chronicle.read()

    def insist(self, what, attempt):
        """A chapter that did not take the way it was made for is told once more."""
        for _ in range(ATTEMPTS):
            self.chronicle.read()
            if attempt():
                return
        raise HarnessTrouble(f"{what} did not happen in {ATTEMPTS} attempts")

    # Chapters.

    def diff(self, leader, learner):
        def attempt():
            self.lead(leader)
            self.chronicle.read()
            self.kill(learner)
            self.write(COMMIT_LOG // 5)
            self.come_back(learner)
            return self.seen(leader, learner, "DIFF")

        self.insist(f"a DIFF from {leader.name} to {learner.name}", attempt)

    def snap_to_absent(self, leader, learner):
        """Away for longer than an Apache leader remembers."""

        def attempt():
            self.lead(leader)
            self.kill(learner)
            self.write(COMMIT_LOG * 3 // 2)
            self.come_back(learner)
            return self.seen(leader, learner, "SNAP")

        self.insist(f"a SNAP from {leader.name} to {learner.name}, which was away", attempt)

    def snap_to_wiped(self, leader, learner):
        def attempt():
            self.lead(leader)
            self.kill(learner)
            self.ensemble.wipe(learner)
            self.write(COMMIT_LOG * 3 // 2)
            self.come_back(learner)
            return self.seen(leader, learner, "SNAP")

        self.insist(f"a SNAP from {leader.name} to {learner.name}, which was wiped", attempt)

    def trunc(self, old, new):
        """A leader logs what nobody else does, and comes back to find another one. An Apache leader
        cuts a learner only where nothing of its own epoch is committed yet; later it sends a SNAP."""
        self._return_of_a_leader(old, new, "TRUNC", writes_before=new.kind is Kind.VIVARIUM)

    def snap_over_the_stranded(self, old, new):
        """The same, and an Apache leader has gone on: its SNAP replaces what the old one logged."""
        self._return_of_a_leader(old, new, "SNAP", writes_before=True)

    def _return_of_a_leader(self, old, new, mode, writes_before):
        def attempt():
            self.strand(old)
            others = [seat for seat in self.ensemble.seats if seat is not old]
            for seat in others:
                self.ensemble.start(seat)
            leader = self.ensemble.wait_for_leader(others)
            if writes_before:
                self.load.go_on()
                self.write(30)
            self.ensemble.start(old)
            self.ensemble.wait_for_all()
            self.load.go_on()
            self.write(30)
            return leader is new and self.seen(new, old, mode)

        self.insist(f"a {mode} from {new.name} to {old.name}, which led before", attempt)

    def late_to_an_idle_leader(self, late):
        """The others are restarted twice with nothing written in between: an Apache leader has then
        nothing in memory, and names the start of its epoch to whoever comes later."""
        self.ensemble.wait_for_all()
        self.load.hold()
        time.sleep(0.3)
        others = [seat for seat in self.ensemble.seats if seat is not late]
        self.stop(late)
        for _ in range(2):
            for seat in others:
                self.stop(seat)
            for seat in others:
                self.ensemble.start(seat)
            self.ensemble.wait_for_leader(others)
        self.come_back(late)
        self.load.go_on()
        self.write(30)

    def strand(self, old):
        """Lets `old` log proposals as a leader whose followers sleep, then kills them all: what the
        followers had not read yet is gone with them."""
        self.lead(old)
        self.load.hold()
        time.sleep(0.3)
        others = [seat for seat in self.ensemble.seats if seat is not old]
        for seat in others:
            seat.server.pause()
        client = self.load.at(old).client
        # Nobody is promised anything about these: all servers must agree in the end, no more.
        for _ in range(STRANDED):
            client.create_async(f"{self.load.at(old).root}/stranded-", b"", sequence=True)
        time.sleep(0.5)
        for seat in [*others, old]:
            self.kill(seat)
