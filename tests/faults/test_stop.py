"""SIGTERM: nobody new, everybody told, everybody ended as HTTP has it, in time.

A few are ended at once. Thousands are spread over the grace, and each is told a
time of its own after which to come back, so that they don't come back together.
"""

import contextlib
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import raw
from certificate import certificate
from http2 import PREFACE, Http2
from server import BINARY
from support import FaultTest
from visitor import H2Visitor
from waiting import eventually, measured

GRACE = 3.0
SOON = 1.0


class Stop(FaultTest):
    def follow(self, visitors, until):
        """Reads them all until each has ended; when each did, by time.monotonic()."""
        poll = select.poll()
        open_ones = {visitor.socket.fileno(): visitor for visitor in visitors}
        for number in open_ones:
            poll.register(number, select.POLLIN)
        ends = []
        while open_ones:
            left = until - time.monotonic()
            self.assertGreater(left, 0, f"{len(open_ones)} streams are still open")
            for number, _ in poll.poll(left * 1000):
                open_ones[number].pump()
                if open_ones[number].ended:
                    ends.append(time.monotonic())
                    poll.unregister(number)
                    del open_ones[number]
        return ends

    def readyz(self, server):
        """What it says of itself; None if it says nothing in the moment of the signal."""
        with contextlib.suppress(ConnectionError):
            return server.get("/readyz").status

    def assert_told(self, visitors):
        """Each was ended by the last chunk, and told a `retry` right before."""
        self.assertEqual({visitor.ended for visitor in visitors}, {"ended"})
        self.assertEqual({visitor.events[-1].number for visitor in visitors}, {None})
        retries = [visitor.events[-1].retry for visitor in visitors]
        self.assertGreaterEqual(min(retries), 2000)
        self.assertLessEqual(max(retries), 5000)
        # Fresh: it is not the one that was told first.
        same = sum(1 for v in visitors if v.events[0].retry == v.events[-1].retry)
        self.assertLess(same, 2 + len(visitors) / 10)
        return retries

    def test_a_thousand_streams_end_spread_over_the_grace_each_with_a_retry_of_its_own(self):
        server = self.server("--shutdown-grace", f"{GRACE:g}s")
        visitors = [self.visit(server, f"room {n % 20}") for n in range(1000)]
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        eventually("/readyz", lambda: self.readyz(server), 503, within=SOON)
        refused = raw.ask(server.address, raw.request("/events?room=late"))
        self.assertEqual(refused.status, 503)
        self.assertTrue(refused.error)
        self.assertIn("retry-after", refused.headers)
        self.assertEqual(server.get("/healthz").status, 200)
        self.assertGreater(sum(server.count(f"room {n}") for n in range(20)), 0, "still draining")

        ends = self.follow(visitors, until=start + GRACE + SOON)
        self.assertEqual(server.wait(SOON), 0)
        measured("stop of 1,000 streams with a grace of 3 s", time.monotonic() - start)
        self.assertLess(time.monotonic() - start, GRACE + SOON)
        self.assertGreater(ends[-1] - ends[0], GRACE / 4, "they end together")
        crowd = max(sum(1 for end in ends if at <= end < at + 0.1) for at in ends[::10])
        self.assertLess(crowd, 500, "half of them end in the same tenth of a second")
        retries = self.assert_told(visitors)
        self.assertGreater(len(set(retries)), 500)
        # Whoever is sent away has not left: no number ever falls.
        for visitor in visitors:
            self.assertEqual(visitor.history, sorted(visitor.history))
        server.stop()  # or what it said last might not be read yet
        self.assertEqual(server.visits(), {"connected": 1000, "shutdown": 1000})

    def test_a_few_streams_end_at_once_over_either_protocol(self):
        server = self.server()
        over_1 = [self.visit(server, f"room {n % 2}") for n in range(5)]
        over_2 = [self.visit(server, f"room {n % 2}", kind=H2Visitor) for n in range(5)]
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        for visitor in over_1 + over_2:
            visitor.is_ended(within=SOON)
        for visitor in over_2:
            visitor.hear_the_end()
        self.assertEqual(server.wait(SOON), 0)
        measured("stop of 10 streams", time.monotonic() - start)
        self.assertLess(time.monotonic() - start, SOON)
        self.assert_told(over_1 + over_2)
        self.assertEqual([visitor.connection.goaway for visitor in over_2], [0] * 5)

    def test_curl_takes_the_end_for_a_good_one(self):
        server = self.server()
        command = ["curl", "-sN", f"http://127.0.0.1:{server.port}/events"]
        commands = [command, [*command, "--http2-prior-knowledge"]]
        curls = [
            self.child(subprocess.Popen(c, stdout=subprocess.PIPE, text=True)) for c in commands
        ]
        eventually("the count", server.count, 2)
        server.signal(signal.SIGTERM)
        for curl in curls:
            told, _ = curl.communicate(timeout=SOON)
            self.assertEqual(curl.returncode, 0)
            self.assertRegex(told, r"\n\nretry: [2-5]\d{3}\n\n$")
        self.assertEqual(server.wait(SOON), 0)

    def test_a_client_that_never_reads_does_not_hold_it(self):
        server = self.server("--shutdown-grace", "1s")
        deaf = self.visit(server, receive_buffer=1, ready=False)
        mute = raw.connect(server.address)
        mute.sendall(PREFACE)
        with mute, Http2(server.address, window=0) as shut:
            shut.ask("/events")
            eventually("the count", server.count, 2)
            reader = self.visit(server)
            # More than the buffers hold, of both sides.
            for _ in range(500):
                self.visit(server).close()
                reader.wait("a leave", lambda reader: reader.newest == 3)
            eventually("the count", server.count, 3)
            start = time.monotonic()
            server.signal(signal.SIGTERM)
            reader.is_ended(within=1 + SOON)
            self.assertEqual(server.wait(1 + SOON), 0)
            measured("stop past a deaf client with a grace of 1 s", time.monotonic() - start)
        self.assertIsNone(deaf.status, "it was to read nothing")

    def test_connections_without_a_stream_do_not_hold_it(self):
        server = self.server()
        silent = raw.connect(server.address)
        half = raw.connect(server.address)
        kept = raw.connect(server.address)
        with silent, half, kept, Http2(server.address) as idle:
            half.sendall(b"GET /count HTTP/1.1\r\nhost: h")
            self.assertEqual(raw.ask_on(kept, raw.request("/count")).status, 200)
            self.assertEqual(idle.get("/count").status, 200)
            start = time.monotonic()
            server.signal(signal.SIGTERM)
            idle.until(lambda: idle.closed, "the connection's end", within=SOON)
            self.assertEqual(idle.goaway, 0)
            self.assertEqual(server.wait(SOON), 0)
            measured("stop with idle connections", time.monotonic() - start)
            for sock in (silent, half, kept):
                self.assertTrue(raw.is_closed(sock))

    def test_a_request_that_was_sent_before_the_signal_is_answered(self):
        server = self.server("--shutdown-grace", f"{GRACE:g}s", quiet=True)
        # So many that it takes a moment to end them.
        visitors = [self.visit(server, f"room {n % 20}") for n in range(200)]
        sockets = [raw.connect(server.address) for _ in range(100)]
        for sock in sockets:
            self.addCleanup(sock.close)
            sock.sendall(raw.request("/count"))
        server.signal(signal.SIGTERM)
        answers = []
        for sock in sockets:
            try:
                answers.append(raw.answer_on(sock).status)
            except (ConnectionError, AssertionError):
                answers.append("nothing")
        self.assertEqual(answers.count("nothing"), 0, "of 100 they got no answer")
        self.follow(visitors, until=time.monotonic() + GRACE + SOON)
        self.assertEqual(server.wait(SOON), 0)


class Blocking(FaultTest):
    """Files that may be read for ever: pipes to which nobody writes."""

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.made = pathlib.Path(directory.name)
        self.pipe = self.made / "pipe"
        os.mkfifo(self.pipe)

    def start(self, *args):
        """A process that may never listen."""
        command = [BINARY, "--listen", "127.0.0.1:0", *map(str, args)]
        return self.child(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))

    def threads(self, process):
        """What the kernel calls its threads."""
        tasks = pathlib.Path(f"/proc/{process.pid}/task").glob("*/comm")
        return [task.read_text().strip() for task in tasks]

    def test_a_pipe_in_the_public_dir_holds_neither_a_request_nor_the_stop(self):
        (self.made / "index.html").write_text("here")
        server = self.server("--public-dir", self.made)
        # More than there are workers.
        for _ in range(20):
            self.assertEqual(server.get("/pipe").status, 404)
            self.assertEqual(server.get("/").body, b"here")
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(SOON), 0)

    def test_a_pipe_in_place_of_a_certificate_is_refused_at_sighup_and_holds_no_stop(self):
        for file in (0, 1):
            with self.subTest(("--tls-cert", "--tls-key")[file]):
                made = certificate(self.made, "count")
                server = self.server("--tls-cert", made[0], "--tls-key", made[1])
                made[file].unlink()
                os.mkfifo(made[file])
                for times in (1, 2):
                    server.signal(signal.SIGHUP)
                    lines = eventually(
                        "what it says of the pipe",
                        lambda: server.logged("the certificate stays as it was"),
                        lambda lines: len(lines) == times,
                    )
                self.assertIn("it is not a regular file", lines[0]["error"])
                self.assertIn(str(made[file]), lines[0]["error"])
                server.signal(signal.SIGTERM)
                self.assertEqual(server.wait(SOON), 0)
                made[file].unlink()

    def test_a_start_that_waits_for_a_pipe_is_ended_by_a_signal(self):
        made = certificate(self.made, "count")
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                starting = self.start("--tls-cert", made[0], "--tls-key", self.pipe)
                eventually("its threads", lambda: self.threads(starting), lambda t: "signals" in t)
                starting.send_signal(number)
                self.assertEqual(starting.wait(SOON), 0)

    def test_a_certificate_may_be_read_from_pipes_at_the_start(self):
        made = certificate(self.made, "count")
        pipes = [self.made / "cert.pipe", self.made / "key.pipe"]
        for pipe, file in zip(pipes, made, strict=True):
            os.mkfifo(pipe)
            threading.Thread(target=pipe.write_bytes, args=[file.read_bytes()], daemon=True).start()
        server = self.server("--tls-cert", pipes[0], "--tls-key", pipes[1])
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(SOON), 0)


if __name__ == "__main__":
    unittest.main()
