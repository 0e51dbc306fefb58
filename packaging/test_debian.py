"""The Debian package where it belongs: in a Debian that systemd has booted. From the install to
the purge, in the order of the tests' names; `packaging/test-deb.sh` runs this there as root.
"""

import contextlib
import glob
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import unittest

DEADLINE = 20.0
ENV = pathlib.Path("/etc/headcount/headcount.env")
SERVER = ("127.0.0.1", 3000)
OPERATOR = ("127.0.0.1", 3001)
NGINX = ("127.0.0.1", 80)


def run(*command, check=True):
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
    )
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.returncode}: {done.stdout}{done.stderr}{journal()}")
    return done.stdout.strip()


def journal():
    done = subprocess.run(
        ["journalctl", "--unit=headcount.service", "--lines=30", "--no-pager", "--output=cat"],
        capture_output=True, text=True,
    )
    return f"\n{done.stdout}"


def show(name, unit="headcount.service"):
    return run("systemctl", "show", "--property", name, "--value", unit)


def pid():
    return int(show("MainPID"))


def eventually(what, probe, fits):
    until = time.monotonic() + DEADLINE
    while not fits(seen := probe()):
        if time.monotonic() > until:
            raise AssertionError(f"{what} is {seen!r}{journal()}")
        time.sleep(0.02)
    return seen


def get(path, where=SERVER):
    connection = http.client.HTTPConnection(*where, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def count():
    status, body = get("/count?room=a")
    assert status == 200, (status, body)
    return int(body.split('"count":')[1].split(",")[0].rstrip("}"))


class Visitor:
    """A stream, read line by line."""

    def __init__(self, token=None):
        self.socket = socket.create_connection(SERVER, DEADLINE)
        returns = f"Last-Event-ID: {token}\r\n" if token else ""
        self.socket.sendall(f"GET /events?room=a HTTP/1.1\r\nHost: a\r\n{returns}\r\n".encode())
        self._lines = self.socket.makefile()
        self.token = self._value("id: ")
        self.number = int(self._value("data: "))

    def _value(self, name):
        for line in self._lines:
            if line.startswith(name):
                return line.removeprefix(name).strip()
        raise AssertionError("the stream ended")

    def close(self):
        self._lines.close()
        self.socket.close()


class Asking:
    """Asks again and again over new connections, and notes how long each answer took and who
    got no good one."""

    def __init__(self, where):
        self._where, self._stop = where, threading.Event()
        self.longest, self.bad, self.good, self.first_bad, self.last_bad = 0.0, 0, 0, 0.0, 0.0
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self):
        while not self._stop.is_set():
            start = time.monotonic()
            try:
                good = get("/count?room=b", self._where)[0] == 200
            except (OSError, http.client.HTTPException):
                good = False
            now = time.monotonic()
            if good:
                self.good += 1
                self.longest = max(self.longest, now - start)
            else:
                self.bad += 1
                self.first_bad, self.last_bad = self.first_bad or start, now
            time.sleep(0.002)

    def answered(self, more=20):
        before = self.good
        eventually("how many are answered", lambda: self.good, lambda good: good >= before + more)

    def stop(self):
        self._stop.set()
        self._thread.join()


class Package(unittest.TestCase):
    maxDiff = None

    def visit(self, token=None):
        visitor = Visitor(token)
        self.addCleanup(visitor.close)
        return visitor

    def all_leave(self):
        self.doCleanups()
        eventually("the count", count, lambda number: number == 0)

    def restart(self, what, where=SERVER):
        """Restarts the service while it is asked, and says what those who ask saw."""
        before = pid()
        visitors = [self.visit() for _ in range(20)]
        asking = Asking(where)
        asking.answered()
        start = time.monotonic()
        run("systemctl", "restart", "headcount.service")
        took = time.monotonic() - start
        self.assertNotEqual(pid(), before)
        self.assertEqual(count(), 20)
        asking.answered()
        asking.stop()
        for visitor in visitors:
            back = self.visit(visitor.token)
            self.assertEqual((back.number, back.token), (20, visitor.token))
        self.all_leave()
        print(
            f"measured: {what}: the restart took {took * 1000:.0f} ms; the longest answer took "
            f"{asking.longest * 1000:.0f} ms; {asking.bad} of {asking.bad + asking.good} got none, "
            f"over {(asking.last_bad - asking.first_bad) * 1000:.0f} ms",
            flush=True,
        )
        return asking

    def test_1_installing_it_starts_it(self):
        run("dpkg", "--install", *glob.glob("/packages/*.deb"))
        self.assertEqual(show("ActiveState"), "active")
        self.assertEqual(run("systemctl", "is-enabled", "headcount.service"), "enabled")
        socket = run("systemctl", "is-enabled", "headcount.socket", check=False)
        self.assertEqual(socket, "disabled")
        self.assertEqual(get("/")[0], 200)
        self.assertEqual(get("/metrics")[0], 404)
        self.assertEqual(get("/metrics", OPERATOR)[0], 200)
        self.assertTrue(pathlib.Path("/var/lib/headcount/history.db").stat().st_size)
        self.assertEqual(ENV.stat().st_mode & 0o777, 0o640)
        for file in ("man/man1/headcount.1.gz", "bash-completion/completions/headcount"):
            self.assertTrue(pathlib.Path("/usr/share", file).stat().st_size, file)
        self.assertTrue(run("headcount", "--version").startswith("headcount "))
        self.assertEqual(run("headcount", "--admin-listen", "127.0.0.1:3001", "health"), "")

    def test_2_it_runs_as_nobody_in_particular_with_a_million_descriptors(self):
        status = pathlib.Path(f"/proc/{pid()}/status").read_text()
        status = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        user = int(status["Uid"].split()[0])
        self.assertTrue(61184 <= user <= 65519, "systemd's dynamic users")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        # What it has is less where the one who started this Debian may have no more.
        self.assertEqual(show("LimitNOFILE"), "1048576")
        self.assertNotIn("WARN", journal())

    def test_3_a_reload_without_tls_leaves_everything_as_it_is(self):
        before, _visitor = pid(), self.visit()
        run("systemctl", "reload", "headcount.service")
        self.assertEqual((pid(), count()), (before, 1))
        self.assertEqual(show("ActiveState"), "active")
        self.all_leave()

    def test_4_a_reload_with_tls_takes_the_new_certificate(self):
        run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=count.example.org", "-keyout", "/etc/ssl/private/count.key",
            "-out", "/etc/ssl/certs/count.pem",
        )
        run("chgrp", "ssl-cert", "/etc/ssl/private/count.key", "/etc/ssl/private")
        run("chmod", "640", "/etc/ssl/private/count.key")
        run("chmod", "710", "/etc/ssl/private")
        drop_in("tls", "SupplementaryGroups=ssl-cert")
        before = ENV.read_text()
        ENV.write_text(
            f"{before}HEADCOUNT_TLS_CERT=/etc/ssl/certs/count.pem\n"
            "HEADCOUNT_TLS_KEY=/etc/ssl/private/count.key\n"
        )
        run("systemctl", "restart", "headcount.service")
        process = pid()
        run("systemctl", "reload", "headcount.service")
        eventually("the journal", journal, lambda lines: "the certificate was read again" in lines)
        self.assertEqual(pid(), process)
        self.assertEqual(show("ActiveState"), "active")
        ENV.write_text(before)
        no_drop_in("tls")
        run("systemctl", "restart", "headcount.service")

    def test_5_a_restart_changes_no_number(self):
        self.restart("without the socket unit")
        run("systemctl", "stop", "headcount.service")
        self.assertEqual(show("Result"), "success")
        run("systemctl", "start", "headcount.service")

    def test_6_a_process_that_is_killed_or_stuck_is_replaced(self):
        drop_in("watchdog", "WatchdogSec=1s")
        run("systemctl", "restart", "headcount.service")
        for how in (signal.SIGKILL, signal.SIGSTOP):
            with self.subTest(how=how):
                before, visitor = pid(), self.visit()
                os.kill(before, how)
                eventually("its number", pid, lambda now: now not in (0, before))
                eventually("its state", lambda: show("ActiveState"), lambda it: it == "active")
                self.assertEqual(count(), 1)
                self.assertEqual(self.visit(visitor.token).token, visitor.token)
                self.all_leave()
        self.assertIn("watchdog", run("journalctl", "--unit=headcount.service").lower())
        no_drop_in("watchdog")
        run("systemctl", "restart", "headcount.service")

    def test_7_an_option_that_is_wrong_is_said_and_not_tried_again(self):
        before = ENV.read_text()
        ENV.write_text(f"{before}HEADCOUNT_KEEP_ALIVE=15\n")
        run("systemctl", "restart", "headcount.service", check=False)
        self.assertEqual(show("ActiveState"), "failed")
        self.assertEqual((show("ExecMainStatus"), show("NRestarts")), ("2", "0"))
        self.assertIn("expected a number with its unit", journal())
        ENV.write_text(before)
        run("systemctl", "restart", "headcount.service")

    def test_8a_with_the_socket_unit_a_restart_refuses_nobody(self):
        pathlib.Path("/etc/nginx/sites-enabled/default").unlink()
        site = pathlib.Path("/deploy/nginx.conf").read_text()
        pathlib.Path("/etc/nginx/sites-enabled/count").write_text(site)
        run("nginx", "-t")
        run("systemctl", "start", "nginx.service")
        without = self.restart("without the socket unit, behind nginx", NGINX)
        self.assertGreater(without.bad, 0, "or this proves nothing")

        run("systemctl", "stop", "headcount.service")
        run("systemctl", "enable", "--now", "headcount.socket")
        run("systemctl", "start", "headcount.service")
        self.assertEqual(self.restart("with the socket unit").bad, 0)
        self.assertEqual(self.restart("with the socket unit, behind nginx", NGINX).bad, 0)

    def test_8b_the_socket_unit_may_have_a_port_below_1024(self):
        run("systemctl", "stop", "headcount.service", "headcount.socket")
        drop_in("port", "ListenStream=", "ListenStream=127.0.0.1:81", unit="headcount.socket")
        run("systemctl", "start", "headcount.socket")
        run("systemctl", "start", "headcount.service")
        self.assertEqual(get("/count", ("127.0.0.1", 81))[0], 200)
        run("systemctl", "stop", "headcount.service", "headcount.socket")
        no_drop_in("port", unit="headcount.socket")
        run("systemctl", "start", "headcount.socket")
        # The first who comes starts the server.
        self.assertEqual(get("/count")[0], 200)

    def test_9_an_upgrade_keeps_numbers_and_settings(self):
        ENV.write_text(ENV.read_text() + "HEADCOUNT_MAX_STREAMS=1234\n")
        run("systemctl", "restart", "headcount.service")
        visitor, before = self.visit(), pid()
        asking = Asking(SERVER)
        asking.answered()
        run("dpkg", "--install", *glob.glob("/upgrade/*.deb"))
        self.assertNotEqual(pid(), before)
        asking.answered()
        asking.stop()
        self.assertEqual(asking.bad, 0)
        self.assertEqual(count(), 1)
        self.assertEqual(self.visit(visitor.token).token, visitor.token)
        self.assertIn("MAX_STREAMS=1234", ENV.read_text())
        self.assertEqual(run("systemctl", "is-enabled", "headcount.socket"), "enabled")
        print(
            f"measured: an upgrade with the socket unit: the longest answer took "
            f"{asking.longest * 1000:.0f} ms", flush=True,
        )

    def test_x_a_removed_package_leaves_its_settings_and_a_purged_one_nothing(self):
        run("dpkg", "--remove", "headcount")
        with self.assertRaises(ConnectionRefusedError):
            get("/count")
        self.assertTrue(ENV.exists())
        self.assertTrue(pathlib.Path("/var/lib/private/headcount").is_dir())
        run("dpkg", "--purge", "headcount")
        run("systemctl", "reset-failed")
        left = run("find", "/", "-xdev", "-name", "*headcount*", "-not", "-path", "/test/*",
                   "-not", "-path", "/proc/*")
        self.assertEqual(left, "")
        self.assertEqual(run("systemctl", "list-units", "--all", "--plain", "--no-legend",
                             "headcount.*"), "")


def drop_in(name, *lines, unit="headcount.service"):
    directory = pathlib.Path(f"/run/systemd/system/{unit}.d")
    directory.mkdir(parents=True, exist_ok=True)
    section = unit.rpartition(".")[2].capitalize()
    (directory / f"{name}.conf").write_text("\n".join([f"[{section}]", *lines, ""]))
    run("systemctl", "daemon-reload")


def no_drop_in(name, unit="headcount.service"):
    pathlib.Path(f"/run/systemd/system/{unit}.d/{name}.conf").unlink()
    run("systemctl", "daemon-reload")
