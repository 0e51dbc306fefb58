"""The history's file: a disk that is full, a clock that is set, a process that is killed, two
at once; and who may ask for what was.
"""

import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

from server import BINARY
from support import FaultTest
from waiting import DEADLINE, eventually

LIBRARY = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
#: A step of the history, twice: the first after a start is not whole.
STEPS = 15.0
#: What the docs have `sqlite3` do.
BACKUP = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db, sqlite3.connect(sys.argv[2]) as copy:
    db.backup(copy)
"""
IS_OTHERS = "another process is using it"


class History(FaultTest):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.file = self.directory / "history.db"

    def ask(self, sql, file=None):
        with contextlib.closing(sqlite3.connect(file or self.file)) as db:
            return db.execute(sql).fetchall()

    def refused(self, *args, code=2):
        """What the server says that does not start with these options."""
        settings = {k: v for k, v in os.environ.items() if not k.startswith("HEADCOUNT_")}
        ended = subprocess.run(
            [BINARY, "--listen", "127.0.0.1:0", *map(str, args)], env=settings, text=True,
            capture_output=True, timeout=DEADLINE,
        )
        self.assertEqual(ended.returncode, code, ended)
        return ended.stderr

    def test_a_full_disk_and_a_clock_that_is_set_delay_nobody_and_cost_nothing_else(self):
        assert LIBRARY, "it takes libfaketime (Debian: faketime)"
        disk, clock = self.directory / "disk", self.directory / "clock"
        disk.mkdir()
        # The minute began five seconds ago: at its very beginning there is nothing to write.
        now = 5 - time.time() % 60
        clock.write_text(f"{now:+.3f}\n")
        mount = f'mount -t tmpfs -o size=256k tmpfs {disk} && exec "$@"'
        server = self.server(
            "--history", disk / "history.db", under=["unshare", "--mount", "sh", "-c", mount, "sh"],
            env={
                "LD_PRELOAD": str(LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1",
            },
        )
        # As the server sees it.
        disk = pathlib.Path(f"/proc/{server.pid}/root{disk}")
        metric = lambda name: server.metrics()[f"headcount_history_{name}"]
        points = lambda: server.get("/history?room=a").json()["points"]
        for _ in range(3):
            self.visit(server, "a")
        eventually("what was", points, lambda points: points and points[-1]["least"] == 3, STEPS)

        filler = open(disk / "filler", "wb", buffering=0)
        self.addCleanup(filler.close)
        with self.assertRaises(OSError):
            while True:
                filler.write(bytes(4096))
        # The minute that was is to be written.
        clock.write_text(f"{now + 120:+.3f}\n")
        eventually("whether writing fails", lambda: metric("failing"), 1, STEPS)
        self.visit(server, "a").sees(4)
        self.assertEqual(server.get("/history?room=a&last=24h").status, 200)
        self.assertGreaterEqual(metric("batches_waiting"), 1)

        os.unlink(disk / "filler")
        filler.close()
        clock.write_text(f"{now - 3600:+.3f}\n")
        eventually("whether writing fails", lambda: metric("failing"), 0, STEPS)
        clock.write_text(f"{now - 3660:+.3f}\n")
        eventually("the minutes", lambda: metric("batches_written_total") >= 3, True, STEPS)
        self.assertEqual((metric("batches_lost_total"), metric("batches_waiting")), (0, 0))
        said = [line for line in server.lines if "the history" in line]
        self.assertEqual(len(said), 2, said)
        self.assertIn("the history can't be written: database or disk is full", said[0])
        self.assertIn("the history is written again", said[1])

        # A backup is made while it runs, and is whole.
        backup = self.directory / "backup.db"
        subprocess.run(
            ["nsenter", "--mount", f"--target={server.pid}", sys.executable, "-c", BACKUP,
             self.directory / "disk" / "history.db", backup],
            check=True, timeout=DEADLINE,
        )
        self.assertEqual(self.ask("PRAGMA integrity_check", backup), [("ok",)])
        minutes = self.ask("SELECT room, least, mean, most FROM minutes", backup)
        self.assertGreaterEqual(len(minutes), 3)
        self.assertEqual({(room, least <= mean <= most) for room, least, mean, most in minutes},
                         {("a", True)})
        self.assertEqual(self.ask("SELECT room, most FROM peaks", backup), [("a", 4)])
        times = [at for at, in self.ask("SELECT at FROM total_minute ORDER BY at", backup)]
        self.assertGreater(times[-1] - times[0], 3500, times)
        self.assertFalse(self.ask("SELECT 1 FROM total_minute WHERE seconds <= 0", backup))

    def test_what_is_known_of_a_minute_is_written_by_a_stop_and_read_by_the_next_process(self):
        server = self.server("--history", self.file)
        for _ in range(2):
            self.visit(server, "a b")
        points = lambda: server.get("/history?room=a+b").json()["points"]
        eventually("what was", points, lambda points: points and points[-1]["least"] == 2, STEPS)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        minutes = self.ask("SELECT room, most, mean > 0 FROM minutes")
        self.assertEqual(minutes[-1], ("a b", 2, 1))
        # The streams that the stop ended are nobody's leave.
        self.assertEqual(self.ask("SELECT min(least) FROM total_minute WHERE at ="
                                  " (SELECT max(at) FROM total_minute)"), [(2,)])
        # Nor does it hurt the file to be killed.
        for _ in range(5):
            server = self.server("--history", self.file)
            answer = server.get("/history?room=a+b&last=24h").json()
            self.assertEqual((answer["step"], answer["points"][-1]["most"]), (60, 2))
            server.signal(signal.SIGKILL)
            server.wait()
            self.assertEqual(self.ask("PRAGMA integrity_check"), [("ok",)])
            self.assertFalse([line for line in server.lines if "the history" in line])

    def test_a_file_is_one_process_own_and_one_that_is_damaged_is_set_aside(self):
        server = self.server("--history", self.file)
        self.assertIn(f"cannot use the history file {self.file}: {IS_OTHERS}",
                      self.refused("--history", self.file, code=1))
        # Not killed: what it leaves beside the file would mend it.
        server.signal(signal.SIGTERM)
        server.wait()
        theirs = self.directory / "theirs.db"
        with contextlib.closing(sqlite3.connect(theirs)) as db:
            db.execute("CREATE TABLE precious (it)")
        before = theirs.read_bytes()
        self.assertIn("it is another program's file", self.refused("--history", theirs))
        self.assertEqual(theirs.read_bytes(), before)
        self.assertIn("it is not a regular file", self.refused("--history", self.directory))
        self.assertIn("must be different files",
                      self.refused("--history", self.file, "--seats", self.file))

        whole = self.file.read_bytes()
        damaged = whole[:100] + b"damaged" * 1000
        self.file.write_bytes(damaged)
        server = self.server("--history", self.file)
        aside = self.directory / "history.db.damaged-1"
        about = lambda: [line for line in server.lines if "the history" in line]
        [said] = eventually("the log", about, lambda lines: len(lines) == 1)
        self.assertEqual(aside.read_bytes(), damaged)
        self.assertIn("the history begins anew: it is damaged", said)
        self.assertIn(str(aside), said)
        views = lambda: self.ask("SELECT count(*) FROM sqlite_schema WHERE name = 'minutes'")
        eventually("the new file's views", views, [(1,)])
        self.assertEqual(self.ask("SELECT count(*) FROM minutes"), [(0,)])
        # Where it can't be made, the server counts all the same.
        server = self.server("--history", self.directory / "nowhere" / "history.db")
        self.assertEqual(self.visit(server).newest, 1)
        failing = lambda: server.metrics()["headcount_history_failing"]
        eventually("whether writing fails", failing, 1)

    def test_neither_route_counts_anybody_and_both_can_be_refused(self):
        server = self.server("--rooms", "a*", "--allow-origin", "https://blog.example",
                             "--history", self.file)
        observer = self.visit(server, "a")
        status = lambda path, **headers: server.get(path, headers=headers).status
        for path in ("/history?room=a", "/history.svg?room=a", "/history?room=a&last=90d",
                     "/history.svg?room=a&last=5m&color=red&label=%3Cb%3E"):
            self.assertEqual(status(path), 200, path)
            self.assertEqual(status(path.replace("room=a", "room=b")), 403, path)
            self.assertEqual(status(path.replace("room=a", "room=")), 400, path)
            self.assertEqual(server.get(path, method="POST").status, 405)
        for last in ("0m", "91d", "5s", "soon"):
            answer = server.get(f"/history?room=a&last={last}")
            self.assertEqual(answer.status, 400)
            self.assertIn("last must be a time", answer.json()["error"])
        for path in ("/history.svg?room=a&color=%22", "/history.svg?room=a&label=%00"):
            self.assertEqual(status(path), 400)
        answer = server.get("/history?room=a", headers={"origin": "https://blog.example"})
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://blog.example")
        self.assertEqual(status("/history?room=a", origin="https://evil.example"), 403)
        picture = server.get("/history.svg?room=a&label=%3Cscript%3E%26%22")
        self.assertEqual(picture.headers["content-type"], "image/svg+xml; charset=utf-8")
        svg = xml.etree.ElementTree.fromstring(picture.body)
        title = svg.findtext("{http://www.w3.org/2000/svg}title")
        self.assertTrue(title.startswith('<script>&": '), title)
        self.assertFalse(list(svg.iter("{http://www.w3.org/2000/svg}script")))
        self.assertEqual(server.count("a"), 1)
        self.assertEqual(observer.history, [1])

        private = self.server("--private-history", "--admin-listen", "127.0.0.1:0")
        for path in ("/history", "/history.svg?last=5m", "/history?last=24h"):
            answer = private.get(path)
            self.assertEqual(answer.status, 403)
            self.assertIn("--private-history", answer.json()["error"])
        # Without a file there is no more than five minutes, and without any of it nothing.
        for server in (self.server(), self.server("--admin-listen", "127.0.0.1:0")):
            self.assertEqual(server.get("/history").json(),
                             {"room": "lobby", "step": 5, "points": []})
            self.assertEqual(server.get("/history?last=6m").status, 404)
            self.assertEqual(server.get("/history.svg").status, 404)
            self.assertEqual(server.get("/history.svg?last=5m").status, 200)
