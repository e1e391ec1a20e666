"""The protocol on the wire against bytes that a real 3.9.5 server sent (PROTOCOL 7)."""

import unittest

import zkwire


class Bytes(unittest.TestCase):
    def test_a_create_is_what_apache_was_sent(self):
        body = zkwire.create("/a", b"x", zkwire.OPEN, 0)
        sent = "000000022f61 0000000178 00000001 0000001f 00000005776f726c64 00000006616e796f6e65 00000000"
        self.assertEqual(body.hex(), sent.replace(" ", ""))

    def test_passwords_follow_from_the_session(self):
        for session, password in (
            (0x0100000CD6F10000, "7578c1895e990ac8db8cf640d7030d85"),
            (0x0100000CD6F10021, "ebbbff88fd58d3a8782e46d91fa7b2f4"),
            (0x0200000F00BC0000, "86c091f29b8e24b7d4c5945bdcfb2675"),
        ):
            self.assertEqual(zkwire.password(session).hex(), password)

    def test_an_empty_multi_and_a_failed_one(self):
        self.assertEqual(zkwire.multi([]).hex(), "ffffffff01ffffffff")
        failed = "ffffffff000000000000000000 ffffffff00ffffff9bffffff9b ffffffff00fffffffefffffffe ffffffff01ffffffff"
        (results,) = zkwire.decode(zkwire.MULTI, bytes.fromhex(failed.replace(" ", "")))
        self.assertEqual(results, [("error", 0, 0), ("error", -101, -101), ("error", -2, -2)])

    def test_null_and_empty_differ(self):
        self.assertEqual((zkwire.buffer(None), zkwire.buffer(b"")), (b"\xff\xff\xff\xff", bytes(4)))
        reader = zkwire.Reader(zkwire.buffer(None) + zkwire.buffer(b""))
        self.assertEqual((reader.buffer(), reader.buffer()), (None, b""))

    def test_what_is_left_over_is_an_error(self):
        with self.assertRaises(zkwire.Garbled):
            zkwire.decode(zkwire.CREATE, zkwire.ustring("/a") + b"\0")
        with self.assertRaises(zkwire.Garbled):
            zkwire.decode(zkwire.CREATE, zkwire.ustring("/a")[:-1])


if __name__ == "__main__":
    unittest.main()
