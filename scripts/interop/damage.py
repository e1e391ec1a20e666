"""Data folders that something happened to: what each is, and how it is made from a good one."""

import dataclasses
import struct
import typing
import zlib

HEADER = 16


@dataclasses.dataclass(frozen=True)
class Case:
    """`member`: which of the two good folders it is made from."""

    name: str
    member: bool
    change: typing.Callable[[object], None]


def newest(version, kind):
    """The newest file of a kind, by the number in its name."""
    return max(version.glob(f"{kind}.*"), key=lambda file: int(file.name.split(".")[1], 16))


def records(log):
    """(start, end) of every record."""
    text, at, found = log.read_bytes(), HEADER, []
    while at + 12 <= len(text) and (length := struct.unpack(">i", text[at + 8 : at + 12])[0]) > 0:
        found.append((at, at + 13 + length))
        at += 13 + length
    return found


def patch(file, at, new):
    text = bytearray(file.read_bytes())
    text[at : at + len(new)] = new
    file.write_bytes(text)


def flip(file, at):
    patch(file, at, bytes([file.read_bytes()[at] ^ 1]))


def _log(change):
    """`change(log, records)` of the newest log that holds several records."""

    def apply(version):
        logs = sorted(version.glob("log.*"), key=lambda file: int(file.name.split(".")[1], 16))
        log = next(log for log in reversed(logs) if len(records(log)) > 4)
        for later in logs[logs.index(log) + 1 :]:
            later.unlink()
        # Nothing may cover what is damaged.
        first = int(log.name.split(".")[1], 16)
        for snapshot in version.glob("snapshot.*"):
            if int(snapshot.name.split(".")[1], 16) > first:
                snapshot.unlink()
        change(log, records(log))

    return apply


def _epoch(name, text):
    return lambda version: (version / name).write_text(text)


def _renamed_before_sync(version):
    """A crash of Apache between the file and its rename."""
    (version / "currentEpoch.tmp").write_text((version / "currentEpoch").read_text())
    (version / "currentEpoch").write_text("0")


def _without(pattern):
    return lambda version: [file.unlink() for file in version.glob(pattern)]


def _all_snapshots(change):
    return lambda version: [change(file) for file in version.glob("snapshot.*")]


def _truncate(file, length):
    file.write_bytes(file.read_bytes()[:length])


def _unknown_kind(log, found):
    """A record of a type that nobody knows, with the right checksum."""
    payload = struct.pack(">qiqqi", 1, 1, 0x7FFF0000, 0, 99)
    record = struct.pack(">qi", zlib.adler32(payload), len(payload)) + payload + b"B"
    patch(log, found[-1][1], record)


def _blank(version):
    for file in version.iterdir():
        file.unlink()


def _suffixed(version):
    """A damaged copy under a name that only looks harmless."""
    log = newest(version, "log")
    copy = log.with_name("log.1.old")
    copy.write_bytes(log.read_bytes())
    flip(copy, records(copy)[0][0] + 30)


CASES = (
    Case("nothing happened", False, lambda version: None),
    Case("nothing happened, member", True, lambda version: None),
    Case("blank", False, _blank),
    Case("blank member", True, _blank),
    Case("currentEpoch behind", True, _epoch("currentEpoch", "0")),
    Case("currentEpoch behind, its successor written", True, _renamed_before_sync),
    Case("currentEpoch behind, a torn successor", True, lambda v: (_epoch("currentEpoch", "0")(v), _epoch("currentEpoch.tmp", "")(v))),
    Case("currentEpoch missing", True, _without("currentEpoch")),
    Case("acceptedEpoch behind", True, _epoch("acceptedEpoch", "0")),
    Case("acceptedEpoch missing", True, _without("acceptedEpoch")),
    Case("currentEpoch is no number", True, _epoch("currentEpoch", "one")),
    Case("acceptedEpoch empty", True, _epoch("acceptedEpoch", "")),
    Case("a plus sign and a line end", True, lambda v: _epoch("acceptedEpoch", "+9\n")(v)),
    Case("no snapshot", False, _without("snapshot.*")),
    Case("no log", False, _without("log.*")),
    Case("snapshots flipped", False, _all_snapshots(lambda file: flip(file, file.stat().st_size // 2))),
    Case("newest snapshot flipped", False, lambda v: flip(newest(v, "snapshot"), newest(v, "snapshot").stat().st_size - 40)),
    Case("snapshots cut", False, _all_snapshots(lambda file: _truncate(file, file.stat().st_size - 3))),
    Case("newest snapshot cut", False, lambda v: _truncate(newest(v, "snapshot"), newest(v, "snapshot").stat().st_size // 2)),
    Case("an unsealed snapshot", False, lambda v: (v / "snapshot.7fffffff.tmp").write_bytes(newest(v, "snapshot").read_bytes()[:-9])),
    Case("payload of a middle record flipped", False, _log(lambda log, found: flip(log, found[1][0] + 30))),
    Case("end mark of a middle record flipped", False, _log(lambda log, found: flip(log, found[1][1] - 1))),
    Case("length of a middle record zero", False, _log(lambda log, found: patch(log, found[1][0] + 8, bytes(4)))),
    Case("length of a middle record huge", False, _log(lambda log, found: patch(log, found[1][0] + 8, b"\x7f\xff\xff\xff"))),
    Case("length of a middle record -2", False, _log(lambda log, found: patch(log, found[1][0] + 8, b"\xff\xff\xff\xfe"))),
    Case("last record cut", False, _log(lambda log, found: _truncate(log, found[-1][1] - 5))),
    Case("last record zeroed at its end", False, _log(lambda log, found: patch(log, found[-1][1] - 5, bytes(5)))),
    Case("a log that ends in zeros", False, _log(lambda log, found: patch(log, found[-1][1], bytes(5000)))),
    Case("garbage behind the last record", False, _log(lambda log, found: patch(log, found[-1][1], b"garbage" * 9))),
    Case("an unknown transaction", False, _log(_unknown_kind)),
    Case("an empty newest log", False, lambda v: (v / "log.7fffffff").write_bytes(b"")),
    Case("a newest log of half a header", False, lambda v: (v / "log.7fffffff").write_bytes(b"ZKLG\0\0\0\2")),
    Case("a newest log of zeros", False, lambda v: (v / "log.7fffffff").write_bytes(bytes(64))),
    Case("a newest log without records", False, lambda v: (v / "log.7fffffff").write_bytes(newest(v, "log").read_bytes()[:16])),
    Case("damaged files moved aside", False, lambda v: (v / "corrupt.log.1").write_bytes(b"garbage")),
    Case("a damaged log with a suffix", False, _suffixed),
)  # fmt: skip
