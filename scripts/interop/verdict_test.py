"""The judge is judged first: each kind of loss is planted, and must be found."""

import types
import unittest

import verdict
from load import QUEUE, Ledger
from tree import differences

STAT = (1, 1, 10, 10, 0, 0, 0, 0, 1, 0, 1)
ACL = ("world:anyone",)
ME = 0x1000


def node(data=b"x", owner=0, children=()):
    stat = STAT[: verdict.OWNER] + (owner,) + STAT[verdict.OWNER + 1 :]
    return (data, stat, tuple(children), ACL)


def load_of(idlers=(), **facts):
    ledger = Ledger()
    for name, value in facts.items():
        setattr(ledger, name, value)
    writer = types.SimpleNamespace(short="/short/w", session=ME, ledger=ledger)
    alive = {ME} | {idler.session for idler in idlers}
    return types.SimpleNamespace(writers=[writer], idlers=idlers, sessions=lambda: alive)


def seat(name):
    return types.SimpleNamespace(name=name)


class Differences(unittest.TestCase):
    def found(self, one, two):
        return differences([seat("one"), seat("two")], [one, two])

    def test_equal_trees_do_not_differ(self):
        self.assertEqual(self.found({"/a": node()}, {"/a": node()}), [])

    def test_data_stat_children_acl_and_absence_all_show(self):
        other_stat = (b"x", STAT[:4] + (1,) + STAT[5:], (), ACL)
        for two in ({"/a": node(b"y")}, {"/a": other_stat}, {"/a": node(children=["b"])}, {"/a": (*node()[:3], ())}, {}):
            self.assertEqual(len(self.found({"/a": node()}, two)), 1, two)


class Losses(unittest.TestCase):
    def found(self, tree, **facts):
        return verdict._losses({QUEUE: node(), **tree}, load_of(**facts))

    def test_what_was_acknowledged_is_there(self):
        self.assertEqual(self.found({"/a": node(b"1")}, values={"/a": {b"1"}, "/gone": {None}}), [])
        self.assertEqual(len(self.found({}, values={"/a": {b"1"}})), 1)
        self.assertEqual(len(self.found({"/a": node(b"2")}, values={"/a": {b"1"}})), 1)
        self.assertEqual(len(self.found({"/a": node()}, values={"/a": {None}})), 1, "it was deleted")

    def test_either_value_will_do_where_the_answer_was_lost(self):
        self.assertEqual(self.found({"/a": node(b"1")}, values={"/a": {b"1", None}}), [])

    def test_ephemerals_belong_to_sessions_that_live(self):
        self.assertEqual(self.found({"/e": node(owner=ME)}, ephemerals={"/e": ME}), [])
        self.assertEqual(len(self.found({}, ephemerals={"/e": ME})), 1)
        self.assertEqual(len(self.found({"/e": node(owner=ME + 1)})), 1)

    def test_idle_sessions_are_kept(self):
        idler = types.SimpleNamespace(path="/idle/at1", session=7)
        self.assertEqual(self.found({"/idle/at1": node(owner=7)}, idlers=[idler]), [])
        self.assertEqual(len(self.found({}, idlers=[idler])), 1)

    def test_sequential_names_are_those_that_were_given(self):
        given = [(0.0, 1.0, f"{QUEUE}/w-0000000001")]
        there = {QUEUE: node(children=["w-0000000001"])}
        self.assertEqual(self.found(there, sequential=given), [])
        self.assertEqual(len(self.found({}, sequential=given)), 1)
        self.assertEqual(len(self.found(there)), 1, "nobody asked for it")
        self.assertEqual(self.found(there, unknown_sequential=1), [])


class Order(unittest.TestCase):
    def found(self, *given):
        return verdict._order(load_of(sequential=[(a, b, f"{QUEUE}/w-{n:010}") for a, b, n in given]))

    def test_a_later_request_has_a_higher_number(self):
        self.assertEqual(self.found((0, 1, 5), (2, 3, 6)), [])
        self.assertEqual(len(self.found((0, 1, 6), (2, 3, 5))), 1)

    def test_requests_at_the_same_time_have_no_order(self):
        self.assertEqual(self.found((0, 3, 6), (1, 2, 5)), [])

    def test_no_number_is_given_twice(self):
        self.assertEqual(len(self.found((0, 3, 5), (1, 2, 5))), 1)


if __name__ == "__main__":
    unittest.main()
