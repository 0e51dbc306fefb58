"""The operator's listener: what it answers, to whom, and that nothing keeps it from it."""

import os
import pathlib
import signal
import socket
import stat
import subprocess
import tempfile
import time

import raw
from certificate import certificate
from http2 import Http2
from server import BINARY
from support import FaultTest
from waiting import DEADLINE, eventually

HERE = "127.0.0.1:0"
TOKEN = "0123456789-abcdef"
#: How many connections may be open, and how long each may take over its head, in seconds.
CONNECTIONS, HEAD, SLACK = 32, 10.0, 2.0


def ask(address, path, *headers, host="localhost", **request):
    return raw.ask(address, raw.request(path, *headers, host=host, **request))


class Admin(FaultTest):
    def directory(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return pathlib.Path(directory.name)

    def hold_the_drain(self, server):
        """Opens a stream that takes nothing, so that a stop lasts for the whole grace."""
        visitor = Http2(server.address, window=0)
        self.addCleanup(visitor.close)
        before = server.count()
        visitor.ask("/events")
        eventually("the count", server.count, before + 1)

    def refused(self, *args, env=None, code=1):
        """What the server says that does not start with these options."""
        settings = {k: v for k, v in os.environ.items() if not k.startswith("HEADCOUNT_")}
        ended = subprocess.run(
            [BINARY, "--listen", HERE, *args], env=settings | (env or {}), text=True,
            capture_output=True, timeout=DEADLINE,
        )
        self.assertEqual(ended.returncode, code, ended)
        self.assertNotIn("listening on", ended.stderr)
        return ended.stderr

    def test_metrics_are_the_operators_alone_and_health_is_on_both(self):
        server = self.server("--admin-listen", HERE)
        admin = server.admin()
        self.visit(server, "a room")
        answer = ask(admin, "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertIn(b"\nheadcount_streams 1\n", answer.body)
        self.assertEqual(server.get("/metrics").status, 404)
        with Http2(server.address) as client:
            self.assertEqual(client.get("/metrics").status, 404)
            self.assertEqual(client.get("/readyz").status, 200)
        for path in ("/healthz", "/readyz"):
            self.assertEqual([ask(admin, path).status, server.get(path).status], [200, 200])

    def test_a_server_with_tls_answers_the_operator_too_and_no_visitor_its_metrics(self):
        cert, key = certificate(self.directory(), "cert")
        server = self.server("--tls-cert", cert, "--tls-key", key, "--admin-listen", HERE)
        self.assertEqual(ask(server.admin(), "/metrics").status, 200)
        curl = subprocess.run(
            ["curl", "-sk", "-o/dev/null", "-w%{http_code} %{http_version}",
             f"https://127.0.0.1:{server.port}/metrics"],
            capture_output=True, text=True, timeout=DEADLINE,
        )
        self.assertEqual(curl.stdout, "404 2")

    def test_nothing_there_can_change_a_count(self):
        server = self.server("--admin-listen", HERE)
        observer = self.visit(server)
        for method, path, status in [
            ("GET", "/events", 404),
            ("GET", "/events?room=a", 404),
            ("GET", "/count", 404),
            ("GET", "/nothing", 404),
            ("POST", "/metrics", 405),
            ("DELETE", "/readyz", 405),
            ("GET", "/metrics?" + "a" * 9_000, 414),
        ]:
            with self.subTest(path[:20], method=method):
                answer = ask(server.admin(), path, method=method)
                self.assertEqual(answer.status, status)
                self.assertTrue(answer.error)
        self.assertEqual(server.count(), 1)
        self.visit(server)
        observer.sees(2)
        self.assertEqual(observer.history, [1, 2])

    def test_without_a_token_only_this_machine_is_answered_by_no_name_but_localhost(self):
        server = self.server("--admin-listen", HERE)
        port = server.admin()[1]
        for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
            self.assertEqual(ask(server.admin(), "/metrics", host=host).status, 200, host)
        for host in ("rebound.example", f"rebound.example:{port}", "127.0.0.1.rebound.example"):
            for path in ("/metrics", "/healthz", "/nothing"):
                answer = ask(server.admin(), path, host=host)
                self.assertEqual(answer.status, 403, host)
                self.assertIn("localhost", answer.error)
        self.assertEqual(ask(server.admin(), "/metrics", host=None, version="1.0").status, 403)
        self.assertEqual(ask(server.admin(), "/metrics", "host: a.example").status, 403)

    def test_where_others_reach_it_nothing_starts_without_a_token(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            why = self.refused("--admin-listen", address, code=2)
            self.assertIn("--admin-listen requires --admin-token or --admin-token-file", why)
        file = self.directory() / "token"
        args = ("--admin-listen", HERE, "--admin-token-file", file)
        self.assertIn(f"cannot read {file}: ", self.refused(*args))
        for text in ("", "\n", "short", "not visible é----"):
            file.write_text(text)
            why = self.refused(*args, code=2)
            self.assertIn(f"the token in {file} can't be used: a token is 16 or more visible", why)
        self.assertIn("requires --admin-token", self.refused(
            "--admin-listen", "0.0.0.0:0", env={"HEADCOUNT_ADMIN_TOKEN_FILE": ""}, code=2,
        ))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.assertIn("another program listens there; choose another address with "
                          "--admin-listen", self.refused("--admin-listen", address))

    def test_with_a_token_whoever_shows_it_is_answered_by_any_name(self):
        file = self.directory() / "token"
        file.write_text(f"{TOKEN}\n")
        for args in (("--admin-token-file", file), ("--admin-token", TOKEN)):
            server = self.server("--admin-listen", "0.0.0.0:0", *args)
            admin = ("127.0.0.1", server.admin()[1])
            shown = f"authorization: Bearer {TOKEN}"
            self.assertEqual(ask(admin, "/metrics", shown, host="count.example").status, 200)
            for wrong in ((), (f"authorization: Bearer {TOKEN}0",), ("authorization: Basic eDp5",)):
                for path in ("/metrics", "/healthz", "/readyz", "/nothing"):
                    answer = ask(admin, path, *wrong)
                    self.assertEqual(answer.status, 401)
                    self.assertEqual(answer.headers["www-authenticate"], "Bearer")
                    self.assertTrue(answer.error)
            self.assertNotIn(TOKEN, "\n".join(server.lines))

    def test_it_goes_on_answering_while_the_server_drains_and_the_log_has_its_last_word(self):
        server = self.server("--admin-listen", HERE, "--shutdown-grace", "5s")
        admin = server.admin()
        self.hold_the_drain(server)
        for _ in range(3):
            self.assertEqual(raw.ask(server.address, raw.request("/events?room=")).status, 400)
        server.signal(signal.SIGTERM)
        eventually("/readyz", lambda: ask(admin, "/readyz").status, 503)
        for path in ("/metrics", "/healthz"):
            self.assertEqual(ask(admin, path).status, 200)
        self.assertIsNone(server.process.poll(), "the drain is over")
        self.assertEqual(server.wait(DEADLINE), 0)
        server.stop()
        [sum_of_refusals] = server.logged("more streams were refused")
        self.assertEqual((sum_of_refusals["reason"], sum_of_refusals["number"]), ("room", 2))

    def test_a_unix_socket_is_for_its_owner_and_goes_with_the_server(self):
        path = self.directory() / "admin"
        server = self.server("--admin-listen", f"unix:{path}")
        self.assertEqual(server.admin(), str(path))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)

        def metrics():
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(DEADLINE)
                sock.connect(str(path))
                return raw.ask_on(sock, raw.request("/metrics", host="localhost")).status

        self.assertEqual(metrics(), 200)
        why = self.refused("--admin-listen", f"unix:{path}")
        self.assertIn(f"cannot listen on unix:{path}: ", why)
        self.assertEqual(metrics(), 200)
        # One that is killed leaves the file behind, and the next replaces it.
        server.signal(signal.SIGKILL)
        server.wait(DEADLINE)
        self.assertTrue(path.exists())
        server = self.server("--admin-listen", f"unix:{path}")
        self.assertEqual(metrics(), 200)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        self.assertFalse(path.exists())

    def health(self, *args, env=None):
        """What the command says of the server with these options, and its exit code."""
        settings = {k: v for k, v in os.environ.items() if not k.startswith("HEADCOUNT_")}
        asked = subprocess.run(
            [BINARY, *map(str, args), "health"], env=settings | (env or {}), text=True,
            capture_output=True, timeout=DEADLINE,
        )
        self.assertEqual(asked.stdout, "")
        return asked.returncode, asked.stderr

    def test_health_says_whether_the_server_with_these_options_is_ready(self):
        server = self.server("--shutdown-grace", "5s")
        listen = ("--listen", f"127.0.0.1:{server.port}")
        self.assertEqual(self.health(*listen), (0, ""))
        everywhere = {"HEADCOUNT_LISTEN": f"0.0.0.0:{server.port}"}
        self.assertEqual(self.health(env=everywhere), (0, ""))
        self.assertEqual(server.count(), 0)
        self.hold_the_drain(server)
        server.signal(signal.SIGTERM)
        eventually("/readyz", lambda: server.get("/readyz").status, 503)
        code, why = self.health(*listen)
        self.assertEqual((code, why), (1, "headcount: not ready: the server is stopping; "
                                          "try again soon\n"))
        self.assertEqual(server.wait(DEADLINE), 0)
        code, why = self.health(*listen)
        self.assertEqual(code, 1)
        self.assertTrue(why.startswith(f"headcount: no answer at http://{listen[1]}: "), why)
        code, why = self.health("--listen", HERE)
        self.assertEqual((code, "port 0 is any port" in why), (1, True), why)

    def test_health_asks_over_tls_and_the_operators_listener_with_its_token(self):
        directory = self.directory()
        cert, key = certificate(directory, "cert")
        tls = ("--tls-cert", cert, "--tls-key", key)
        server = self.server(*tls)
        listen = ("--listen", f"127.0.0.1:{server.port}")
        self.assertEqual(self.health(*listen, *tls), (0, ""))
        self.assertEqual(self.health(*listen)[0], 1)
        file = directory / "token"
        file.write_text(TOKEN)
        for address in (HERE, f"unix:{directory / 'admin'}"):
            server = self.server("--admin-listen", address, "--admin-token-file", file, *tls)
            admin = server.admin()
            where = f"unix:{admin}" if isinstance(admin, str) else ":".join(map(str, admin))
            # The port of visitors is not asked.
            args = ("--listen", HERE, "--admin-listen", where)
            self.assertEqual(self.health(*args, env={"HEADCOUNT_ADMIN_TOKEN": TOKEN}), (0, ""))
            code, why = self.health(*args)
            self.assertEqual((code, why), (1, "headcount: not ready: this requires the "
                                              "operator's token (--admin-token)\n"))

    def test_health_does_not_wait_for_ever(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            said = self.health("--listen", address)
        self.assertEqual(said, (1, f"headcount: no answer at http://{address} within 5 s\n"))

    def test_silent_and_slow_clients_keep_nobody_out_and_are_closed_in_time(self):
        server = self.server("--admin-listen", HERE)
        admin = server.admin()
        # Its thread has all that it needs once it answers.
        self.assertEqual(ask(admin, "/healthz").status, 200)
        before = server.fds()
        silent = []
        for _ in range(3 * CONNECTIONS):
            silent.append(raw.connect(admin))
            self.addCleanup(silent[-1].close)
        # The oldest go first.
        for sock in silent[: 2 * CONNECTIONS]:
            self.assertTrue(raw.is_closed(sock))
        self.assertEqual(ask(admin, "/metrics").status, 200)
        eventually("its descriptors", server.fds, lambda fds: fds <= before + CONNECTIONS)
        start = time.monotonic()
        slow = raw.connect(admin)
        self.addCleanup(slow.close)
        slow.setblocking(False)
        closed, answers = raw.follow({"slow": slow}, {"slow": b"GET /metrics" * 9}, HEAD + SLACK)
        self.assertIn("slow", closed, answers)
        self.assertGreater(time.monotonic() - start, HEAD / 2)
        for sock in silent[2 * CONNECTIONS :]:
            self.assertTrue(raw.is_closed(sock))
        eventually("its descriptors", server.fds, lambda fds: fds <= before)
