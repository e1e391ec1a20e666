"""What ends a run without a verdict: exit code 3, and one line that says what to do."""

NO_VERDICT = 3


class HarnessTrouble(Exception):
    """The run itself could not be made; says nothing about the servers."""
