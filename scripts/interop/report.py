"""The table at the end of a run: a row for each pairing, with what was exercised, counted."""

import dataclasses


@dataclasses.dataclass
class Row:
    """One pairing: `exercised` maps what happened to how often it did."""

    part: str
    pairing: str
    exercised: dict
    violations: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0


def show(rows):
    for row in rows:
        for line in row.violations[:20]:
            print(f"BROKEN ({row.part}) {row.pairing}: {line}")
        if len(row.violations) > 20:
            print(f"BROKEN ({row.part}) {row.pairing}: and {len(row.violations) - 20} more")
    print()
    for row in rows:
        verdict = f"BROKEN ({len(row.violations)})" if row.violations else "ok"
        print(f"({row.part}) {row.pairing}: {verdict}, {row.seconds:.0f} s")
        for what, count in row.exercised.items():
            print(f"      {what:<44} {count}")
