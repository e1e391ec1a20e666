"""Sessions as servers know them: who takes a session back, and who lists it."""

import re
import socket
import struct

from process import HOST
from trouble import HarnessTrouble


def reattach(seat, session, password, timeout_ms=30000):
    """Connects with a session that exists; answers the id that the server confirms, 0 where it
    refuses, None where it does not answer. The connection goes, the session stays."""
    request = struct.pack(">iqiqi16s?", 0, 0, timeout_ms, session, 16, password, False)
    try:
        with socket.create_connection((HOST, seat.client_port), timeout=10) as stream:
            stream.sendall(struct.pack(">i", len(request)) + request)
            answer = _exactly(stream, 4 + 36)
    except OSError:
        return None
    _, _, _, confirmed = struct.unpack(">iiiq", answer[:20])
    return confirmed


def _exactly(stream, count):
    got = b""
    while len(got) < count:
        chunk = stream.recv(count - len(got))
        if not chunk:
            raise ConnectionError("closed")
        got += chunk
    return got


def listed(seat):
    """The sessions in the answer to `dump`; None where the server does not know the word."""
    text = seat.server.word("dump")
    if "SessionTracker dump" not in text:
        return None
    table = text.split("ephemeral nodes dump")[0]
    return {int(found, 16) for found in re.findall(r"0x([0-9a-f]+)", table)}


def unknown_sessions(ensemble, living, closed):
    """Living sessions that a server does not know, and closed ones that it does, in words.
    Both are (id, password)."""
    found = []
    for seat in ensemble.seats:
        table = listed(seat)
        if table is not None:
            found += [f"{seat.name} does not list session {one:#x}" for one, _ in living if one not in table]
            found += [f"{seat.name} lists closed session {one:#x}" for one, _ in closed if one in table]
        for session, password in living:
            if (answer := reattach(seat, session, password)) != session:
                found.append(f"{seat.name} does not take session {session:#x}: it says {answer}")
        for session, password in closed:
            if (answer := reattach(seat, session, password)) != 0:
                found.append(f"{seat.name} takes closed session {session:#x}: it says {answer}")
    return found


def desert(seat, path, timeout_ms):
    """Opens a session, makes an ephemeral, and goes without a word; answers (id, password)."""
    hello = struct.pack(">iqiqi16s?", 0, 0, timeout_ms, 0, 16, b"", False)
    name = path.encode()
    world = struct.pack(">iii5si6s", 1, 31, 5, b"world", 6, b"anyone")
    create = struct.pack(f">iii{len(name)}si", 1, 1, len(name), name, 0) + world + struct.pack(">i", 1)
    try:
        with socket.create_connection((HOST, seat.client_port), timeout=10) as stream:
            stream.sendall(struct.pack(">i", len(hello)) + hello)
            answer = _exactly(stream, 4 + 37)
            stream.sendall(struct.pack(">i", len(create)) + create)
            _, _, _, code = struct.unpack(">iiqi", _exactly(stream, 20))
    except OSError as error:
        raise HarnessTrouble(f"{seat.name} gave no session: {error}") from error
    if code != 0:
        raise HarnessTrouble(f"{seat.name} did not create {path}: error {code}")
    _, _, _, session = struct.unpack(">iiiq", answer[:20])
    return session, answer[24:40]
