"""That the comparison can fail, that each intended difference excuses itself alone, and that a stream is shortened."""

import collections
import dataclasses
import pathlib
import unittest

import shrink
import zkwire
from differential import Difference, Run
from intended import INTENDED
from operations import Operation
from sides import Outcome, Side, Zxids
from steps import Batch, Leave, Return, Steps, lines
from zkwire import Event, Stat

STAT = Stat(5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 5)
DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"


class Silent(Side):
    """A side without a server behind it."""

    def __init__(self, last):
        self.name, self.last, self.owners, self.started = "silent", last, {}, 0.0
        self.rename, self.heard = (lambda data: data), []

    def last_zxid(self):
        return self.last

    def events(self, slot):
        return self.heard


class Compared(Run):
    def __init__(self, apache, ours):
        self.apache, self.ours = Silent(apache), Silent(ours)
        self.zxids, self.trapped, self.events, self.away = Zxids(0), 0, 0, {}
        self.explained = collections.Counter()


def compare(operation, apache, ours, last=(9, 9)):
    run = Compared(*last)
    run._compare(operation, apache, ours)
    return run


class Comparing(unittest.TestCase):
    def test_equal_outcomes_pass_and_any_other_field_does_not(self):
        get = Operation(0, "getData", zkwire.GET_DATA, zkwire.ustring("/a"))
        good = Outcome(9, 0, (b"x", STAT))
        compare(get, good, good)
        for other in (
            dataclasses.replace(good, zxid=8),
            dataclasses.replace(good, code=-101),
            dataclasses.replace(good, closed=True),
            dataclasses.replace(good, values=(b"y", STAT)),
            dataclasses.replace(good, values=(None, STAT)),
            *(dataclasses.replace(good, values=(b"x", dataclasses.replace(STAT, **{name: 3}))) for name in ("version", "pzxid", "owner")),
        ):
            with self.assertRaises(Difference):
                compare(get, good, other)

    def test_children_are_compared_sorted_and_results_of_a_multi_in_order(self):
        children = Operation(0, "getChildren", zkwire.GET_CHILDREN, zkwire.ustring("/a"))
        run = compare(children, Outcome(9, 0, (["b", "a"],)), Outcome(9, 0, (["a", "b"],)))
        self.assertEqual(sum(run.explained.values()), 1)
        reads = Operation(0, "multiRead", zkwire.MULTI_READ, b"")
        one, other = ([("getChildren", 0, names), ("getData", 0, b"", STAT)] for names in (["b", "a"], ["a", "b"]))
        compare(reads, Outcome(9, 0, (one,)), Outcome(9, 0, (other,)))
        with self.assertRaises(Difference):
            compare(reads, Outcome(9, 0, (one,)), Outcome(9, 0, (other[::-1],)))
        multi = Operation(0, "multi", zkwire.MULTI, b"")
        with self.assertRaises(Difference):
            compare(multi, Outcome(9, 0, ([("delete", 0), ("check", 0)],)), Outcome(9, 0, ([("check", 0), ("delete", 0)],)))

    def test_identities_are_compared_in_any_order(self):
        who = Operation(0, "whoAmI", zkwire.WHO_AM_I)
        two = [("ip", "127.0.0.1"), ("digest", "ann")]
        compare(who, Outcome(9, 0, (two,)), Outcome(9, 0, (two[::-1],)))
        for other in (two[:1], [*two, two[0]]):
            with self.assertRaises(Difference):
                compare(who, Outcome(9, 0, (two,)), Outcome(9, 0, (other,)))

    def test_a_multi_that_cannot_be_read_may_cost_apache_one_zxid(self):
        multi = Operation(0, "multi", zkwire.MULTI, b"\0", malformed=True)
        run = compare(multi, Outcome(9, -5), Outcome(8, -5), last=(9, 8))
        self.assertEqual([run.zxids.ours(zxid) for zxid in (7, 8, 9, 10)], [7, 8, 8, 9])
        with self.assertRaises(Difference):
            compare(multi, Outcome(9, -5), Outcome(7, -5), last=(9, 7))

    def test_events_are_compared_with_their_order_and_their_place_among_replies(self):
        made, changed = Event(9, 1, 3, "/a"), Event(9, 3, 3, "/a")
        cause = Operation(0, "setData", zkwire.SET_DATA)

        def told(apache, ours, cause=cause):
            run = Compared(9, 9)
            run.apache.heard, run.ours.heard = apache, ours
            return run._ended(cause, 0)

        both = [(0, made), (1, changed)]
        self.assertFalse(told(both, both))
        self.assertTrue(told(None, None))
        for other in (both[::-1], both[:1], [(0, made), (0, changed)], None):
            with self.assertRaises(Difference):
                told(both, other)
        self.assertFalse(told([(0, made), (0, changed)], [(0, changed), (0, made)], dataclasses.replace(cause, op=zkwire.CLOSE_SESSION)))


class Intending(unittest.TestCase):
    def test_an_intended_difference_excuses_nothing_else(self):
        plain = Operation(0, "create", zkwire.CREATE, zkwire.create("/a", b"", zkwire.OPEN, 0))
        made, refused = Outcome(9, 0, ("/a",)), Outcome(9, -8)
        self.assertFalse([one.name for one in INTENDED if one.matches(plain, made, refused)])
        trapped = dataclasses.replace(plain, traps="T30")
        self.assertEqual([one.name for one in INTENDED if one.matches(trapped, made, refused)], ["T30"])

    def test_each_stands_in_the_document(self):
        text = DOCUMENT.read_text()
        for one in INTENDED:
            self.assertIn(f"| {one.listed}", text, one.name)


class Drawing(unittest.TestCase):
    def test_a_seed_draws_the_same_steps(self):
        def drawn(seed):
            steps, away = Steps(seed, 5, 3), frozenset()
            return [repr(steps.one(away, 100)).partition("function")[0] for _ in range(60)]

        self.assertEqual(drawn(3), drawn(3))
        self.assertNotEqual(drawn(3), drawn(4))

    def test_who_is_away_is_asked_nothing(self):
        steps = Steps(1, 5, 3)
        for _ in range(500):
            match steps.one(frozenset({1, 4}), 100):
                case Batch(operations):
                    self.assertNotIn(operations[0].session, (1, 4))
                case Return(slot):
                    self.assertIn(slot, (1, 4))
                case Leave(slot):
                    self.assertNotIn(slot, (1, 4))


class Shrinking(unittest.TestCase):
    def test_only_what_it_takes_is_left(self):
        def batch(*labels):
            return Batch(tuple(Operation(0, label, zkwire.PING, burst=len(labels) > 1) for label in labels))

        played = [batch("a"), batch("x", "b", "x"), *[batch("y", "y")] * 30, Leave(2), batch("c", "x", "y")]

        def shows(steps):
            left = "".join(line.split()[0][0] for line in lines(steps))
            return "differs" if all(label in left for label in "bc") else None

        text = shrink.text(played, shows)
        self.assertEqual([line.split()[0] for line in text.splitlines()[1:]], ["b", "c", "and"])

    def test_what_does_not_come_again_is_told(self):
        self.assertIn("did not come again", shrink.text([Leave(1), Leave(2)], lambda _: None))


if __name__ == "__main__":
    unittest.main()
