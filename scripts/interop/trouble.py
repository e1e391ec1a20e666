"""The two ways in which a run fails: a promise was broken, or the run itself could not be made."""

BROKEN, NO_VERDICT = 1, 3


class Violation(Exception):
    """A server did what it must not, or not in time what it must."""


class HarnessTrouble(Exception):
    """The run could not be made, or did not exercise what it is for; says nothing about the servers."""
