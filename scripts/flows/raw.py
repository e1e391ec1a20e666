"""A client of a few lines, for what kazoo never sends: it writes frames and reads frames."""

import socket
import struct

SYNC, SET_DATA, AUTH, SET_WATCHES, CLOSE = 9, 5, 100, 101, -11


class Lost(Exception):
    """The server closed the connection, or was silent for too long."""


def text(value):
    data = value.encode()
    return struct.pack(">i", len(data)) + data


def texts(values):
    return struct.pack(">i", len(values)) + b"".join(map(text, values))


class RawClient:
    """One connection with a session: new, or of an earlier connection."""

    def __init__(self, address, before=None, timeout_ms=10_000, patience=10.0):
        host, port = address.rsplit(":", 1)
        self.stream = socket.create_connection((host, int(port)), timeout=patience)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session, password, seen = (before.session, before.password, before.seen) if before else (0, bytes(16), 0)
        request = struct.pack(">iqiq", 0, seen, timeout_ms, session)
        self.send(request + struct.pack(">i", len(password)) + password + b"\0")
        _, self.timeout_ms, self.session, length = struct.unpack_from(">iiqi", answer := self.receive())
        self.password, self.seen = answer[20 : 20 + length], seen
        if self.timeout_ms <= 0:
            raise Lost("the session is not there any more")

    def send(self, payload):
        self.stream.sendall(struct.pack(">i", len(payload)) + payload)

    def receive(self):
        try:
            (length,) = struct.unpack(">i", self._exactly(4))
            return self._exactly(length)
        except OSError as error:
            raise Lost(str(error)) from error

    def request(self, xid, op, body=b""):
        try:
            self.send(struct.pack(">ii", xid, op) + body)
        except OSError as error:
            raise Lost(str(error)) from error

    def reply(self):
        """(xid, zxid, error code, body) of the next frame, which may be an event."""
        frame = self.receive()
        xid, zxid, code = struct.unpack_from(">iqi", frame)
        self.seen = max(self.seen, zxid)
        return xid, zxid, code, frame[16:]

    def call(self, xid, op, body=b""):
        self.request(xid, op, body)
        return self.reply()

    def event(self):
        """(zxid, type, path) of the next frame, which must be an event."""
        xid, zxid, _, body = self.reply()
        if xid != -1:
            raise Lost(f"a reply to {xid} where an event was due")
        kind, _, length = struct.unpack_from(">iii", body)
        return zxid, kind, body[12 : 12 + length].decode()

    def drop(self):
        """Ends the connection; the session lives on."""
        self.stream.close()

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            chunk = self.stream.recv(length - len(data))
            if not chunk:
                raise Lost("closed by the server")
            data += chunk
        return data
