"""What the comparison of kazoo's suite calls worse, and what it lets pass."""

import pathlib
import tempfile
import unittest

from kazoo_suite import LACKING, judge, read, unwanted

PASSED, FAILED, SKIPPED = ["passed", ""], ["failed", "why"], ["skipped", ""]
REPORT = """\
<testsuites><testsuite>
<testcase classname="kazoo.tests.test_lock.Locks" name="test_a"/>
<testcase classname="test_lock.Locks" name="test_b"><failure message="first&#10;second"/></testcase>
<testcase classname="test_lock.Locks" name="test_c"><skipped message="not here"/></testcase>
</testsuite></testsuites>
"""


class Judging(unittest.TestCase):
    def test_what_passes_there_must_pass_here(self):
        judged = judge({"a": PASSED, "b": PASSED, "c": PASSED, "d": FAILED}, {"a": PASSED, "b": FAILED, "d": FAILED})
        self.assertEqual(judged, {"a": "", "b": "WORSE", "c": "WORSE", "d": ""})
        self.assertEqual(unwanted(judged), ["b", "c"])

    def test_a_skipped_test_shows_nothing(self):
        self.assertEqual(unwanted(judge({"a": PASSED}, {"a": SKIPPED})), ["a"])

    def test_what_is_lacking_is_told_and_has_to_go_once_it_passes(self):
        name = next(iter(LACKING)) + "test"
        self.assertEqual(unwanted(judge({name: PASSED}, {name: FAILED})), [])
        self.assertEqual(unwanted(judge({name: PASSED}, {name: PASSED})), [name])

    def test_a_report_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "results.xml"
            report.write_text(REPORT)
            self.assertEqual(
                read(report),
                {
                    "test_lock.Locks.test_a": ["passed", ""],
                    "test_lock.Locks.test_b": ["failed", "first"],
                    "test_lock.Locks.test_c": ["skipped", "not here"],
                },
            )


if __name__ == "__main__":
    unittest.main()
