"""Lines of both kinds of servers, as they were recorded, and the events in them."""

import pathlib
import tempfile
import types
import unittest

from ensemble import Kind
from events import Chronicle, Lead, Sync

APACHE = """\
2026-11-20T09:46:05,1 INFO  [QuorumPeer[myid=2](plain=127.0.0.1:1)(secure=disabled)] QuorumPeer - Peer state changed: leading - broadcast
2026-11-20T09:46:05,2 INFO  [LearnerHandler-/127.0.0.1:36270] LearnerHandler - Synchronizing with Learner sid: 3 maxCommittedLog=0x1 minCommittedLog=0x1 lastProcessedZxid=0x1 peerLastZxid=0x1
2026-11-20T09:46:05,2 INFO  [LearnerHandler-/127.0.0.1:36271] LearnerHandler - Synchronizing with Learner sid: 1 maxCommittedLog=0x1 minCommittedLog=0x1 lastProcessedZxid=0x1 peerLastZxid=0x2
2026-11-20T09:46:05,3 INFO  [LearnerHandler-/127.0.0.1:36270] LearnerHandler - Sending DIFF zxid=0x1  for peer sid: 3
2026-11-20T09:46:05,3 DEBUG [LearnerHandler-/127.0.0.1:36271] LearnerHandler - Sending TRUNC to follower zxidToSend=0x1 for peer sid:1
2026-11-20T09:46:05,4 INFO  [LearnerHandler-/127.0.0.1:36270] LearnerHandler - Sending snapshot last zxid of peer is 0x1, zxid of leader is 0x1
2026-11-20T09:46:05,5 DEBUG [LearnerHandler-/127.0.0.1:36270] LearnerHandler - Sending NEWLEADER message to 3
2026-11-20T09:46:05,5 DEBUG [LearnerHandler-/127.0.0.1:36271] LearnerHandler - Sending NEWLEADER message to 1
2026-11-20T09:46:05,6 INFO  [LearnerHandler-/127.0.0.1:36272] LearnerHandler - Sending DIFF zx"""
VIVARIUM = """\
{"timestamp":"2026-11-20T09:39:42.9Z","level":"INFO","message":"learner syncs","learner":"1","how":"DiffDisk"}
{"timestamp":"2026-11-20T09:39:42.9Z","level":"INFO","message":"leadership established","epoch":"1","history":"0x0"}
"""


class Events(unittest.TestCase):
    def test_both_kinds_of_logs_tell_who_led_and_how_learners_came_up_to_date(self):
        with tempfile.TemporaryDirectory() as folder:
            seats = [self.seat(number, kind, folder) for number, kind in ((1, Kind.APACHE), (2, Kind.APACHE), (3, Kind.VIVARIUM))]
            seats[1].log_of(Kind.APACHE).write_text(APACHE)
            seats[2].log_of(Kind.VIVARIUM).write_text(VIVARIUM)
            chronicle = Chronicle(types.SimpleNamespace(seats=seats, seat=lambda number: seats[number - 1]))
            told = chronicle.read()
            # A snapshot that was sent after all counts alone; the unfinished line waits.
            self.assertEqual(told, [Lead(2), Sync(2, 3, "SNAP"), Sync(2, 1, "TRUNC"), Sync(3, 1, "DIFF"), Lead(3)])
            self.assertEqual(chronicle.syncs[Kind.APACHE, Kind.VIVARIUM, "SNAP"], 1)
            self.assertEqual(chronicle.read(), [])

    @staticmethod
    def seat(number, kind, folder):
        return types.SimpleNamespace(number=number, kind=kind, log_of=lambda of: pathlib.Path(folder) / f"{number}-{of.value}")


if __name__ == "__main__":
    unittest.main()
