"""That the comparison can fail, and that each intended difference excuses itself alone."""

import collections
import dataclasses
import unittest

import zkwire
from differential import INTENDED, Difference, Run
from operations import Operation, Operations
from sides import Outcome, Side, Zxids
from zkwire import Stat

STAT = Stat(5, 5, 0, 0, 0, 0, 0, 0, 0, 0, 5)


class Silent(Side):
    """A side without a server behind it."""

    def __init__(self, last):
        self.name, self.last, self.owners, self.started = "silent", last, {}, 0.0

    def last_zxid(self):
        return self.last


class Compared(Run):
    def __init__(self, apache, ours):
        self.apache, self.ours = Silent(apache), Silent(ours)
        self.zxids = Zxids(0)
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
        multi = Operation(0, "multi", zkwire.MULTI, b"")
        with self.assertRaises(Difference):
            compare(multi, Outcome(9, 0, ([("delete", 0), ("check", 0)],)), Outcome(9, 0, ([("check", 0), ("delete", 0)],)))

    def test_a_multi_that_cannot_be_read_may_cost_apache_one_zxid(self):
        multi = Operation(0, "multi", zkwire.MULTI, b"\0", malformed=True)
        run = compare(multi, Outcome(9, -5), Outcome(8, -5), last=(9, 8))
        self.assertEqual([run.zxids.ours(zxid) for zxid in (7, 8, 9, 10)], [7, 8, 8, 9])
        with self.assertRaises(Difference):
            compare(multi, Outcome(9, -5), Outcome(7, -5), last=(9, 7))

    def test_an_intended_difference_excuses_nothing_else(self):
        plain = Operation(0, "create", zkwire.CREATE, zkwire.create("/a", b"", zkwire.OPEN, 0))
        made, refused = Outcome(9, 0, ("/a",)), Outcome(9, -8)
        self.assertFalse([one.name for one in INTENDED if one.matches(plain, made, refused)])
        trapped = dataclasses.replace(plain, traps="T30")
        self.assertEqual([one.name for one in INTENDED if one.matches(trapped, made, refused)], ["T30"])


class Drawing(unittest.TestCase):
    def test_a_seed_draws_the_same_operations(self):
        def drawn(seed):
            operations = Operations(seed, 4)
            return [dataclasses.replace(operations.one(), body=b"") for _ in range(300)]

        self.assertEqual(drawn(3), drawn(3))
        self.assertNotEqual(drawn(3), drawn(4))


if __name__ == "__main__":
    unittest.main()
