"""What may come over a connection that is no visitor: silence, drips, garbage,
floods, slow attackers, and everything that HTTP/2 allows a client to do.

Nobody else notices any of it: the observers keep their streams, the count is the
test's own list of who is there, and whoever comes is told so within a second.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import unittest

import raw
from http2 import PREFACE, Http2
from support import FaultTest
from visitor import H2Visitor
from waiting import eventually, measured

# Time limits of the server, in seconds.
HEAD = 10.0
IDLE = 30.0
SLACK = 2.0

# A PING after 1 s, which must be answered within 2 s.
HASTY = ("--keep-alive", "1s", "--user-timeout", "2s")

SETTINGS = bytes.fromhex("000000 04 00 00000000")


def frame(kind, flags, stream, payload=b"", length=None):
    """A frame of HTTP/2 (RFC 9113, section 4.1), with a wrong length if so asked."""
    length = len(payload) if length is None else length
    return length.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


class Protocol(FaultTest):
    def assert_harmless(self, server, observer):
        """Whoever was there is there, nobody was counted, and a newcomer is served."""
        newcomer = self.visit(server)
        self.assertEqual(newcomer.newest, 2)
        observer.sees(2, within=1)
        newcomer.close()
        observer.sees(1, within=1)
        self.assertEqual(observer.history, sorted(observer.history[:-2]) + [2, 1])
        self.assertEqual(observer.history[-3:], [1, 2, 1])

    def test_whoever_does_not_finish_a_request_is_closed_in_time(self):
        server = self.server(*HASTY)
        observer = self.visit(server)
        count = raw.request("/count")
        honest = raw.request("/count", "connection: close")
        soon = (HEAD - 1, HEAD + SLACK)
        pinged = (0, HEAD + SLACK)
        cases = {
            # name: what is sent at first, what is dripped, when it shall be closed
            "silent": (b"", b"", soon),
            "one byte": (b"G", b"", soon),
            "half a head": (count[:-2], b"", soon),
            "dripped head": (b"", count[:-1] + b"a" * 60, soon),
            "dripped header": (count[:-2] + b"x: ", b"a" * 60, soon),
            "dripped blank lines": (b"", b"\r\n" * 60, soon),
            "half a head after an answer": (count + count[:20], b"", (HEAD - 1, IDLE + SLACK)),
            "half a preface": (PREFACE[:10], b"", soon),
            "dripped preface": (b"", PREFACE, soon),
            "preface alone": (PREFACE, b"", pinged),
            "dripped settings": (PREFACE, SETTINGS + b"\0" * 60, pinged),
            "half a frame": (PREFACE + SETTINGS + b"\0\0", b"", pinged),
            "head without end": (PREFACE + SETTINGS + frame(1, 1, 1, b"\x82"), b"", pinged),
            "dripped header block": (
                PREFACE + SETTINGS + frame(1, 1, 1, b"\x82", length=100), b"\x84" * 60, pinged,
            ),
            "kept, idle": (count, b"", (IDLE - 2, IDLE + SLACK)),
            # An honest one, on a bad line: it is in time, and answered.
            "slow but honest": (honest[:-16], honest[-16:], (7, HEAD)),
        }
        peers, drips = {}, {}
        for name, (sent, dripped, _) in cases.items():
            peers[name] = sock = raw.connect(server.address)
            self.addCleanup(sock.close)
            sock.sendall(sent)
            sock.setblocking(False)
            if dripped:
                drips[name] = dripped
        closed, answers = raw.follow(peers, drips, IDLE + 2 * SLACK)
        for name, (_, _, (least, most)) in cases.items():
            with self.subTest(name):
                self.assertIn(name, closed, "it is still open")
                measured(f"closed: {name}", closed[name])
                self.assertGreaterEqual(closed[name], least)
                self.assertLessEqual(closed[name], most)
        for name in ("kept, idle", "slow but honest"):
            self.assertIn(b" 200 OK\r\n", answers[name])
        self.assert_harmless(server, observer)

    def test_heads_larger_than_any_that_is_meant_are_refused(self):
        server = self.server()
        fields = [f"x-{n}: y" for n in range(150)]
        path = "/count?room=lobby&"
        rows = [
            (200, path + "a" * (8000 - len(path)), []),
            (414, path + "a" * (8193 - len(path)), []),
            (200, path, fields[:60]),
            (431, path, fields[:65]),
            (200, path, ["x: " + "y" * 7_000, "z: " + "y" * 7_000]),
        ]
        for status, path, headers in rows:
            with self.subTest(status=status, path=len(path), headers=len(headers)):
                answer = raw.ask(server.address, raw.request(path, *headers))
                self.assertEqual(answer.status, status)
                self.assertEqual(bool(answer.error), status != 200)
                with Http2(server.address) as client:
                    pairs = [tuple(header.split(": ")) for header in headers]
                    self.assertEqual(client.get(path, pairs).status, status)
        # Beyond what is read at all, HTTP's own answer is enough.
        for path, headers in [
            ("/" + "a" * 70_000, []),
            ("/count", fields),
            ("/count", ["x: " + "y" * 17_000]),
            ("/count", ["x" * 17_000 + ": y"]),
        ]:
            with self.subTest(path=len(path), headers=[len(header) for header in headers]):
                answer = raw.ask(server.address, raw.request(path, *headers))
                self.assertIn(answer.status, (414, 431))

    def test_garbage_harms_nobody(self):
        server = self.server(*HASTY)
        observer = self.visit(server)
        chance = random.Random(7)
        opened = PREFACE + SETTINGS
        cases = {
            "noise": chance.randbytes(20_000),
            "noise after a preface": PREFACE + chance.randbytes(20_000),
            "noise after settings": opened + chance.randbytes(20_000),
            "zeros": bytes(100_000),
            "TLS": bytes.fromhex("16030100c8010000c40303") + chance.randbytes(200),
            "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/0.9": b"GET /events\r\n",
            "HTTP/1.2": b"GET /events HTTP/1.2\r\nhost: h\r\n\r\n",
            "HTTP/3.0": b"GET /events HTTP/3.0\r\nhost: h\r\n\r\n",
            "CONNECT": b"CONNECT headcount:80 HTTP/1.1\r\nhost: headcount:80\r\n\r\n",
            "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nhost: headcount\r\n\r\n",
            "no path": b"GET  HTTP/1.1\r\nhost: h\r\n\r\n",
            "space before the colon": b"GET /events HTTP/1.1\r\nhost : h\r\n\r\n",
            "bare CR": b"GET /events HTTP/1.1\rhost: h\r\r",
            "folded": b"GET /events HTTP/1.1\r\nhost: h\r\nx: y\r\n content-length: 5\r\n\r\n",
            "NUL in a header": b"GET /events HTTP/1.1\r\nhost: h\r\nx: \0\r\n\r\n",
            "a negative length": b"GET /events HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n",
            "two lengths": raw.request("/events", "content-length: 0", "content-length: 1"),
            "an unknown encoding": raw.request("/events", "transfer-encoding: x, chunked"),
            "blank lines": b"\r\n" * 50_000,
            "a preface of HTTP/1": b"PRI * HTTP/1.1\r\nhost: h\r\n\r\n",
            "a preface misspelt at its end": PREFACE[:-1] + b"x",
            "a huge frame": opened + frame(0, 0, 1, b"x" * 1000, length=2**24 - 1),
            "a head on stream 0": opened + frame(1, 5, 0, b"\x82\x84\x86"),
            "a head on stream 2": opened + frame(1, 5, 2, b"\x82\x84\x86"),
            "data before a head": opened + frame(0, 1, 1, b"x"),
            "a bad header block": opened + frame(1, 5, 1, b"\xff" * 100),
            "a head without a path": opened + frame(1, 5, 1, b"\x82\x86"),
            "a window of zero more": opened + frame(8, 0, 0, bytes(4)),
            "a push": opened + frame(5, 4, 1, bytes(4) + b"\x82\x84\x86"),
            "continuations": opened
            + frame(1, 1, 1, b"\x82\x84\x86")
            + frame(9, 0, 1, b"\x00\x01x\x01y" * 100) * 500,
            "empty continuations": opened + frame(1, 1, 1, b"\x82") + frame(9, 0, 1) * 20_000,
            "settings": opened + SETTINGS * 20_000,
            "pings": opened + frame(6, 0, 0, bytes(8)) * 20_000,
            "priorities": opened + frame(2, 0, 1, bytes(5)) * 20_000,
            "unknown frames": opened + frame(200, 0, 1, b"x" * 10) * 20_000,
        }
        for name, data in cases.items():
            with self.subTest(name), raw.connect(server.address) as sock:
                try:
                    sock.sendall(data)
                except OSError:
                    pass  # it has heard enough, or nobody reads its answers
                visitor = self.visit(server, "elsewhere")
                self.assertEqual(visitor.newest, 1)
                visitor.close()
                answer = b""
                sock.settimeout(0.01)
                try:
                    answer = sock.recv(65_536)
                except OSError:
                    pass
                self.assertNotIn(b" 200 OK\r\n", answer)
            eventually("elsewhere", lambda: server.count("elsewhere"), 0, within=1)
        self.assert_harmless(server, observer)

    def test_slow_attackers_neither_end_a_stream_nor_delay_a_newcomer(self):
        server = self.server("--max-streams", 2000, quiet=True)
        crowd = [self.visit(server, "crowd") for _ in range(500)]
        before = server.fds()
        url = f"http://127.0.0.1:{server.port}"
        attack = ["slowhttptest", "-c", "200", "-r", "100", "-l", "10", "-i", "1", "-v", "0"]
        attacks = [
            self.child(subprocess.Popen([*attack, *mode], stdout=subprocess.DEVNULL))
            for mode in (
                ["-H", "-u", f"{url}/events?room=slow"],
                ["-B", "-u", f"{url}/events?room=slow", "-s", "8192", "-t", "FAKE"],
                ["-X", "-u", f"{url}/", "-k", "5", "-n", "2", "-z", "8"],
                ["-X", "-u", f"{url}/events?room=slow", "-n", "2", "-z", "8"],
            )
        ]
        peak, slowest = 0, 0.0
        deadline = time.monotonic() + 30
        while any(attack.poll() is None for attack in attacks):
            self.assertLess(time.monotonic(), deadline, "the attacks go on")
            start = time.monotonic()
            newcomer = self.visit(server, "crowd")
            slowest = max(slowest, time.monotonic() - start)
            self.assertEqual(newcomer.newest, 501)
            newcomer.close()
            eventually("the crowd", lambda: server.count("crowd"), 500, within=1)
            peak = max(peak, server.fds())
            for visitor in crowd:
                visitor.pump()
        measured("join under slow attacks, 500 streams open", slowest)
        self.assertLess(slowest, 1)
        self.assertEqual([attack.returncode for attack in attacks], [0] * 4)
        self.assertGreater(peak - before, 300, "these were no attacks")
        self.visit(server, "crowd")
        for visitor in crowd:
            visitor.sees(501, within=1)
        self.assertEqual({visitor.ended for visitor in crowd}, {None})
        eventually("the slow room", lambda: server.count("slow"), 0, within=5)


class OverHttp2(FaultTest):
    def test_streams_of_one_connection_come_and_go_one_by_one(self):
        server = self.server()
        observer = self.visit(server)
        with Http2(server.address) as client:
            first = client.join()
            second = client.join()
            client.until(lambda: first.counts == [2, 3], "the second's arrival")
            observer.sees(3)
            self.assertEqual(first.headers["content-type"], "text/event-stream")
            self.assertNotIn("connection", first.headers)
            client.reset(first)
            client.until(lambda: second.counts == [3, 2], "the first's leave")
            observer.sees(2, within=1)
            self.assertEqual(client.get("/count").body, b'{"room":"lobby","count":2}')
        self.assertEqual(observer.history, [1, 2, 3, 2])
        observer.sees(1, within=1)

    def test_the_close_of_a_connection_drops_all_its_streams_at_once(self):
        server = self.server()
        observer = self.visit(server)
        for way in (H2Visitor.close, H2Visitor.reset):
            with self.subTest(way=way.__name__):
                visitor = self.visit(server, kind=H2Visitor)
                for _ in range(99):
                    visitor.connection.join()
                observer.sees(101)
                way(visitor)
                measured("100 streams of a connection that closes", observer.sees(1, within=1))

    def test_nghttp_sees_the_events_and_its_leave_is_seen(self):
        server = self.server()
        observer = self.visit(server)
        for signalled in (signal.SIGTERM, signal.SIGKILL):
            nghttp = self.child(
                subprocess.Popen(
                    ["nghttp", "-v", f"http://127.0.0.1:{server.port}/events"],
                    stdout=subprocess.PIPE,
                )
            )
            observer.sees(2)
            self.visit(server).close()
            observer.wait("a visit", lambda o: o.history[-2:] == [3, 2])
            # What nghttp says it says in its own time, so it is heard out first.
            told = b""
            os.set_blocking(nghttp.stdout.fileno(), False)

            def has_told():
                nonlocal told
                told += nghttp.stdout.read() or b""
                return b":status: 200" in told and b"event: user count\ndata: 3\n" in told

            eventually("nghttp tells of the visit", has_told, True)
            nghttp.send_signal(signalled)
            observer.sees(1, within=1)
            nghttp.communicate(timeout=5)

    def test_the_129th_stream_is_refused_and_the_others_are_well(self):
        server = self.server(quiet=True)
        with Http2(server.address) as client:
            streams = [client.join() for _ in range(128)]
            self.assertEqual(client.h2.remote_settings.max_concurrent_streams, 128)
            client.ignore_the_limit_of_streams()
            extra = client.ask("/events")
            client.until(lambda: extra.reset is not None, "the refusal of the 129th")
            self.assertEqual(extra.reset, 7, "REFUSED_STREAM: it may be tried again")
            self.assertEqual(server.count(), 128)
            client.reset(streams.pop())
            streams.append(client.join())
            self.visit(server)
            client.until(lambda: all(s.counts[-1] == 129 for s in streams), "129 at each")
            self.assertIsNone(client.goaway)

    def test_a_thousand_rapid_resets_harm_nobody_else(self):
        server = self.server(quiet=True)
        observer = self.visit(server)
        other = self.visit(server, kind=H2Visitor)
        with Http2(server.address) as client:
            client.hear(1)  # its settings
            client.ignore_the_limit_of_streams()
            try:
                for _ in range(1000):
                    client.reset(client.ask("/events", flush=False), flush=False)
                client.flush()
                client.until(lambda: client.closed, "the end of the connection", within=1)
            except (ConnectionError, AssertionError):
                pass  # it may be closed for that, or not
            eventually("the count", server.count, 2, within=1)
            start = time.monotonic()
            newcomer = self.visit(server, kind=H2Visitor)
            measured("join after 1,000 rapid resets", time.monotonic() - start)
            self.assertEqual(newcomer.newest, 3)
            for visitor in (observer, other):
                visitor.sees(3, within=1)

    def test_a_thousand_short_visits_over_one_connection_are_each_counted_and_uncounted(self):
        server = self.server(quiet=True)
        observer = self.visit(server)
        with Http2(server.address) as client:
            for _ in range(1000):
                answer = client.join()
                self.assertEqual(answer.counts[0], 2)
                observer.wait("an arrival", lambda o: o.newest == 2, within=1)
                client.reset(answer)
                observer.wait("a leave", lambda o: o.newest == 1, within=1)
            self.assertIsNone(client.goaway)
        self.assertEqual(server.metrics()["headcount_joins_total"], 1001)

    def test_a_peer_that_answers_no_ping_is_uncounted_in_time(self):
        server = self.server(*HASTY)
        observer = self.visit(server)
        deaf = self.visit(server, kind=H2Visitor)
        with Http2(server.address) as heard:
            answer = heard.join()
            observer.sees(3)
            start = time.monotonic()
            # The other answers, and is not taken for deaf.
            heard.until(lambda: answer.counts[-1] == 2, "that the deaf one is gone", within=5)
            measured("a peer deaf to PING, 1 s + 2 s", time.monotonic() - start)
            observer.sees(2, within=1)
            self.assertEqual(server.count(), 2)
        # The log has a thread of its own.
        first = lambda: [line["reason"] for line in server.logged("user disconnected")][:1]
        eventually("the first reason in the log", first, ["timed out"])
        deaf.close()

    def test_a_client_that_says_goaway_keeps_its_stream_until_it_closes(self):
        server = self.server()
        observer = self.visit(server)
        with Http2(server.address) as client:
            answer = client.join()
            observer.sees(2)
            client.sock.sendall(frame(7, 0, 0, bytes(8)))  # NO_ERROR
            visitor = self.visit(server)
            client.until(lambda: answer.counts[-1] == 3, "one more")
            visitor.close()
            client.until(lambda: answer.counts[-1] == 2, "one less")
            self.assertEqual(server.count(), 2)
            observer.sees(2)
        observer.sees(1, within=1)

    def test_a_client_that_breaks_the_protocol_ends_in_error_and_one_that_leaves_does_not(self):
        for how, data, reason in [
            ("data on stream 0", frame(0, 0, 0, b"x"), "error"),
            ("a settings frame of another length", frame(4, 0, 0, b"x"), "error"),
            ("a header block that is none", frame(1, 5, 3, b"\xff" * 100), "error"),
            ("goaway with an error", frame(7, 0, 0, bytes(7) + b"\x01"), "error"),
            ("goaway without one", frame(7, 0, 0, bytes(8)), "client closed"),
            ("half a frame", frame(0, 0, 1, b"x", length=100), "client closed"),
            ("nothing", b"", "client closed"),
        ]:
            with self.subTest(how):
                server = self.server()
                with Http2(server.address) as client:
                    streams = [client.join() for _ in range(3)]
                    client.until(lambda: {s.counts[-1] for s in streams} == {3}, "3 at each")
                    client.sock.sendall(data)
                    if reason == "error" and not how.startswith("goaway"):
                        # The server ends it, and not that the client leaves.
                        eventually("the count", server.count, 0)
                    # It takes all that is sent to it, or its close would be a reset.
                    with contextlib.suppress(OSError):
                        client.sock.shutdown(socket.SHUT_WR)
                    eventually("its end", lambda: client.hear(0.1) or client.closed, True)
                lines = eventually(
                    "what is logged",
                    lambda: server.logged("user disconnected"),
                    lambda lines: len(lines) == 3,
                )
                self.assertEqual({line["reason"] for line in lines}, {reason})

    def test_a_shut_window_costs_nobody_anything_and_gets_the_newest_once_it_opens(self):
        server = self.server(quiet=True)
        with Http2(server.address, window=0) as client:
            answer = client.ask("/events")
            client.until(lambda: answer.status, "the head of the answer")
            observer = self.visit(server)
            self.assertEqual(observer.newest, 2, "it is counted")
            rss = server.rss()
            start = time.monotonic()
            for _ in range(300):
                visitor = self.visit(server)
                observer.wait("a visit", lambda o: o.newest == 3, within=1)
                visitor.close()
                observer.wait("its end", lambda o: o.newest == 2, within=1)
            measured("300 visits beside a shut window", time.monotonic() - start)
            self.assertLess(server.rss() - rss, 4 * 2**20)
            self.visit(server)
            observer.sees(3)
            self.assertEqual(answer.body, b"")
            client.open_window(answer, 60_000)
            client.until(lambda: answer.counts[-1:] == [3], "the newest")
            self.assertLess(len(answer.counts), 100, "old numbers are merged, not kept")
            client.reset(answer)
            observer.sees(2)


if __name__ == "__main__":
    unittest.main()
