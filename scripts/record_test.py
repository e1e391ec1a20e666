"""The recorder: where frames end, what is no frame, and that nothing is passed on unrecorded."""

import json
import pathlib
import socket
import tempfile
import threading
import unittest

from record import HOST, Frames, Recorder


def framed(payload):
    return len(payload).to_bytes(4, "big") + payload


class CutFrames(unittest.TestCase):
    def cut(self, chunks):
        taken = []
        frames = Frames(taken.append)
        for chunk in chunks:
            frames.feed(chunk, may_be_word=True)
        return taken

    def test_borders_of_chunks_do_not_matter(self):
        stream = framed(b"first") + framed(b"") + framed(b"third")
        wanted = [b"first", b"", b"third"]
        self.assertEqual(self.cut([stream]), wanted)
        self.assertEqual(self.cut([bytes([byte]) for byte in stream]), wanted)

    def test_a_four_letter_word_is_no_frame(self):
        self.assertEqual(self.cut([b"ruok"]), [])
        self.assertEqual(self.cut([b"sr", b"vr\n"]), [])

    def test_a_frame_that_is_not_whole_is_not_told(self):
        self.assertEqual(self.cut([framed(b"first")[:-1]]), [])


class Echo:
    """A server that answers every chunk with itself."""

    def __init__(self):
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        stream, _ = self.listener.accept()
        with stream:
            while chunk := stream.recv(4096):
                stream.sendall(chunk)


class RecordConnections(unittest.TestCase):
    def test_a_connection_is_written_down_in_order(self):
        echo = Echo()
        with tempfile.TemporaryDirectory() as folder:
            history = pathlib.Path(folder) / "history.jsonl"
            with Recorder(history, [(7, HOST, echo.port)]) as recorder:
                with socket.create_connection((HOST, recorder.ports[7]), timeout=10) as stream:
                    stream.sendall(framed(b"hello"))
                    self.assertEqual(stream.recv(9, socket.MSG_WAITALL), framed(b"hello"))
                    told = [json.loads(line) for line in history.read_text().splitlines()]
                    self.assertEqual(told[-1]["from"], "server", "written before it is passed on")
            told = [json.loads(line) for line in history.read_text().splitlines()]
        echo.listener.close()
        self.assertEqual(told[0]["vivarium_history"], 1)
        kinds = [line.get("from") or ("opened" if "opened" in line else "closed") for line in told[1:]]
        self.assertEqual(kinds, ["opened", "client", "server", "closed"])
        self.assertEqual(told[1]["address"], HOST, "as the server sees the client")
        self.assertTrue(all((line["connection"], line["server"]) == (1, 7) for line in told[1:]))


if __name__ == "__main__":
    unittest.main()
