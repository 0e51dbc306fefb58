"""A restart, a deploy and a crash: with `--seats` no number moves but by those who really
leave; without it the numbers say that some people may be missing.
"""

import pathlib
import signal
import stat
import subprocess
import tempfile
import time

from server import BINARY
from support import FaultTest
from visitor import H2Visitor, Visitor, head, query_of
from waiting import DEADLINE, eventually, measured

#: For how long the next process holds a seat.
HELD = 10.0
#: What a machine that has much to do may add.
SOON = 3.0


class Restart(FaultTest):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.seats = self.directory / "seats"

    def start(self, *args, **options):
        return self.server("--seats", self.seats, *args, **options)

    def again(self, server, *args):
        """The next process, on the same port."""
        return self.start(*args, listen=f"127.0.0.1:{server.port}")

    def end(self, server, how):
        """Ends the process, and with it the streams of all visitors."""
        server.signal(how)
        server.wait()
        for visitor in self.visitors:
            visitor.wait("the end", lambda visitor: visitor.ended)

    def test_no_number_moves_but_by_those_who_really_leave(self):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(how=how.name):
                self.setUp()
                old = self.start()
                kinds = (Visitor, H2Visitor)
                rooms = ("article", ("article", "site"))
                people = [
                    self.visit(old, rooms[n % 2], kind=kinds[n % 3 == 0]) for n in range(200)
                ]
                gone = self.visit(old, "article")
                gone.close()
                eventually("the leave", lambda: old.count("article"), 200)
                self.end(old, how)
                for visitor in people:
                    numbers = visitor.history
                    self.assertLess(max(numbers[:-1], default=0), 202)

                start = time.monotonic()
                new = self.again(old)
                self.assertEqual((new.count("article"), new.count("site")), (200, 100))
                watcher = self.visit(new, ("article", "site"))
                self.assertEqual(watcher.numbers, {"article": 201, "site": 101})
                for n, visitor in enumerate(people[:190]):
                    kind = kinds[n % 2]  # on whichever protocol it comes back
                    back = self.visit(new, rooms[n % 2], visitor.token, kind=kind)
                    self.assertEqual(back.token, visitor.token)
                    told = {back.newest} if n % 2 == 0 else set(back.numbers.values())
                    self.assertTrue(told <= {201, 101}, told)
                # Whoever asks for nothing of what it had leaves it.
                self.visit(new, "elsewhere", people[190].token)
                watcher.sees(200)
                self.assertEqual(watcher.history, [201, 101, 200])
                # The others are given up.
                watcher.wait(
                    "those who don't return are gone",
                    lambda watcher: watcher.numbers == {"article": 191, "site": 96},
                    HELD + SOON,
                )
                held = time.monotonic() - start
                measured("seats are held for their clients after a restart for", held)
                self.assertGreater(held, HELD - 1)
                self.assertEqual(new.metrics()["headcount_streams"], 192)
                self.assertNotIn("partial", new.get("/count").json())
                self.doCleanups()

    def test_a_crash_while_seats_are_held_is_no_loss_either(self):
        old = self.start()
        people = [self.visit(old, "a") for _ in range(20)]
        self.end(old, signal.SIGKILL)
        second = self.again(old)
        back = [self.visit(second, "a", visitor.token) for visitor in people[:10]]
        back.pop().close()
        eventually("the leave", lambda: second.count("a"), 19)
        self.end(second, signal.SIGKILL)
        third = self.again(old)
        self.assertEqual(third.count("a"), 19)
        for visitor in back + people[10:]:
            self.assertEqual(self.visit(third, "a", visitor.token).newest, 19)

    def test_a_stop_while_seats_wait_is_no_loss_either(self):
        old = self.start()
        people = [self.visit(old, "a") for _ in range(20)]
        self.end(old, signal.SIGKILL)
        second = self.again(old)
        back = [self.visit(second, "a", visitor.token) for visitor in people[:10]]
        self.end(second, signal.SIGTERM)
        # One that has hardly begun and has no stream to end stops at once.
        self.end(self.again(old), signal.SIGTERM)
        fourth = self.again(old)
        self.assertEqual(fourth.count("a"), 20)
        for visitor in back + people[10:]:
            self.assertEqual(self.visit(fourth, "a", visitor.token).newest, 20)

    def test_who_is_on_the_way_back_when_the_server_stops_has_not_left(self):
        for threads in (1, 2):
            with self.subTest(threads=threads):
                self.setUp()
                old = self.start("--max-age", "1s", "--threads", threads)
                people = [self.visit(old, "a") for _ in range(6)]
                for visitor in people:
                    visitor.wait("the end", lambda visitor: visitor.ended)
                self.end(old, signal.SIGTERM)
                self.assertEqual(self.again(old).count("a"), 6)
                self.doCleanups()

    def test_a_process_that_can_not_listen_leaves_the_seats_as_they_are(self):
        old = self.start()
        people = [self.visit(old, "a") for _ in range(3)]
        self.end(old, signal.SIGKILL)
        other = self.server()
        command = [BINARY, "--listen", f"127.0.0.1:{other.port}", "--seats", self.seats]
        failed = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(failed.returncode, 1)
        self.assertIn("another program listens there", failed.stderr)
        new = self.again(old)
        self.assertEqual(new.count("a"), 3)
        self.assertEqual(self.visit(new, "a", people[0].token).newest, 3)

    def test_a_seat_that_is_held_keeps_its_place(self):
        limits = ("--max-streams", 3, "--max-streams-per-ip", 2)
        old = self.start("--max-streams", 3)
        people = [self.visit(old, "a") for _ in range(3)]
        self.end(old, signal.SIGKILL)
        new = self.again(old, *limits)
        self.assertEqual(new.get(f"/events{query_of('a')}").status, 503)
        for visitor in people[:2]:
            self.assertEqual(self.visit(new, "a", visitor.token).newest, 3)
        # All of them are of one address, which may have two now.
        path = f"{query_of('a')}&lastEventID={people[2].token}"
        self.assertEqual(new.get(f"/events{path}").status, 429)
        self.assertEqual(new.count("a"), 3)

    def test_seats_that_find_no_place_make_the_numbers_partial(self):
        old = self.start()
        for room in "aaabbb":
            self.visit(old, room)
        for limit in (("--max-streams", 3), ("--max-rooms", 1)):
            with self.subTest(limit=limit):
                self.end(old, signal.SIGKILL)
                content = self.seats.read_bytes()
                new = self.again(old, *limit)
                self.assertEqual(new.count("a") + new.count("b"), 3)
                self.assertIn("partial", new.get("/count").json())
                self.end(new, signal.SIGKILL)
                self.seats.write_bytes(content)
                old = self.again(old)
                self.assertNotIn("partial", old.get("/count").json())

    def test_a_second_process_says_that_the_file_is_in_use_and_stops(self):
        first = self.start()
        command = [BINARY, "--listen", "127.0.0.1:0", "--seats", self.seats]
        second = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(second.returncode, 1)
        said = f"headcount: cannot use the seats file {self.seats}: another process is using it\n"
        self.assertEqual(second.stderr, said)
        self.assertEqual(first.count(), 0)
        self.assertEqual(stat.S_IMODE(self.seats.stat().st_mode), 0o600)

    def test_what_can_not_be_used_is_said_in_one_line_and_the_server_serves_on(self):
        def damaged(content):
            self.seats.write_bytes(content)

        old = self.start()
        self.visit(old)
        self.end(old, signal.SIGKILL)
        good = self.seats.read_bytes()
        version, boot, header = bytearray(good), bytearray(good), bytearray(good)
        header[18] ^= 1
        boot[40] ^= 1
        for what, make, said in (
            ("something else", lambda: damaged(b"hello"), "not a seats file"),
            ("a damaged header", lambda: damaged(header), "the header is damaged"),
            ("a damaged boot", lambda: damaged(boot), "the header is damaged"),
            ("a part of a header", lambda: damaged(good[:50]), "the header is damaged"),
            ("a directory", lambda: (self.seats.unlink(), self.seats.mkdir()), "regular file"),
            ("no directory", lambda: self.seats.rmdir(), None),
        ):
            with self.subTest(what):
                make()
                path = self.seats if said else self.seats / "there" / "is none"
                server = self.server("--seats", path, "--settle", "1m")
                warnings = [line for line in server.lines if '"WARN"' in line]
                self.assertEqual(len(warnings), 1, warnings)
                self.assertIn(said or "No such file", warnings[0])
                self.assertEqual(self.visit(server).newest, 1)
                self.assertTrue(server.get("/count").json()["partial"])
                server.stop()

    def test_a_full_disk_is_said_once_and_the_server_serves_on(self):
        inside = f"mount -t tmpfs -o size=8k none {self.directory} && exec \"$0\" \"$@\""
        server = self.start(under=("unshare", "--map-root-user", "--mount", "sh", "-c", inside))
        people = [self.visit(server, "a", ready=False) for _ in range(300)]
        eventually("the count", lambda: server.count("a"), 300)
        for visitor in people:
            visitor.close()
        eventually("the count", lambda: server.count("a"), 0)
        # The slots that could be written are struck out, and it works again.
        self.assertEqual(self.visit(server).newest, 1)
        said = [line for line in server.lines if "seats file" in line]
        self.assertEqual(len(said), 1, said)
        self.assertIn("cannot write to the seats file", said[0])

    def test_without_a_file_the_numbers_are_partial_for_some_seconds(self):
        settle = 4.0
        start = time.monotonic()
        server = self.server("--settle", f"{settle:g}s")
        self.assertEqual(server.get("/count").json(), {"room": "lobby", "count": 0, "partial": True})
        self.assertEqual(server.metrics()["headcount_partial"], 1)
        request = head(path="/events?room=a&room=b&tell=partial")
        asks = [
            self.visit(server, request=request),
            self.visit(server, request=head(path="/events?tell=partial")),
        ]
        silent = self.visit(server)
        for visitor in asks:
            visitor.wait("partial", lambda visitor: visitor.partial)
        for visitor in asks:
            visitor.wait("whole", lambda visitor: visitor.partial is False, settle + SOON)
        self.assertGreater(time.monotonic() - start, settle)
        self.assertNotIn("partial", server.get("/count").json())
        self.assertEqual(server.metrics()["headcount_partial"], 0)
        silent.pump()
        self.assertIsNone(silent.partial, "it did not ask")
        late = self.visit(server, request=request)
        late.pump()
        self.assertIsNone(late.partial)
