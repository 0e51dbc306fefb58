"""Behind nginx and HAProxy as Debian ships them, with the smallest configuration
that proxies: the first event, a long silence, a leave, and whose address it is.

The proxies' idle limits are scaled down with the server's keep-alive, so that a
stream which only lives by its heartbeat would end within the test.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import raw
from support import FaultTest
from waiting import eventually, measured

KEEP_ALIVE = 1.0  # seconds
IDLE_LIMIT = 3.0
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where Debian has them

# nginx wants its directories told, or it takes those of the system.
NGINX = """
daemon off;
pid nginx.pid;
error_log stderr error;
events {{}}
http {{
  access_log off;
  client_body_temp_path tmp;
  proxy_temp_path tmp;
  fastcgi_temp_path tmp;
  uwsgi_temp_path tmp;
  scgi_temp_path tmp;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_read_timeout {idle:g}s;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect {idle:g}s
  timeout client {idle:g}s
  timeout server {idle:g}s
  option forwardfor
frontend visitors
  bind fd@{listener}
  default_backend headcount
backend headcount
  server one 127.0.0.1:{upstream} {options}
"""


class Proxy:
    """Where a proxy listens. The test opens the port and the proxy inherits it."""

    def __init__(self, test, command, config, environment=(), **values):
        directory = tempfile.TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)  # nginx's worker is another user
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = listener.getsockname()
            self.host, self.port = self.address
            file = pathlib.Path(directory.name, "proxy.conf")
            values |= {"port": self.port, "listener": listener.fileno(), "idle": IDLE_LIMIT}
            file.write_text(config.format(**values))
            self.process = subprocess.Popen(
                [shutil.which(command[0], path=PATH), *command[1:], file],
                cwd=directory.name,
                env={name: value.format(**values) for name, value in environment},
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        test.addCleanup(self.stop)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)  # nginx ends its worker with it
        self.process.wait(10)


def nginx(test, server):
    command = ["nginx", "-e", "stderr", "-p", ".", "-c"]
    return Proxy(test, command, NGINX, [("NGINX", "{listener};")], upstream=server.port)


def haproxy(test, server, options=""):
    command = ["haproxy", "-db", "-q", "-f"]
    return Proxy(test, command, HAPROXY, upstream=server.port, options=options)


def haproxy_over_http_2(test, server):
    return haproxy(test, server, "proto h2")


PROXIES = (nginx, haproxy, haproxy_over_http_2)


class Proxies(FaultTest):
    def through(self, proxy, *args):
        server = self.server("--keep-alive", f"{KEEP_ALIVE:g}s", *args)
        return server, proxy(self, server)

    def each(self, check):
        for proxy in PROXIES:
            with self.subTest(proxy=proxy.__name__):
                check(proxy)

    def test_the_first_event_comes_through_at_once(self):
        def check(proxy):
            server, there = self.through(proxy)
            # The proxy's own start is not what is measured.
            ready = raw.request("/readyz")
            eventually("the way", lambda: raw.ask(there.address, ready).status, 200)
            visitor = self.visit(there, ready=False)
            seconds = visitor.sees(1, within=1)
            measured(f"first event through {proxy.__name__}", seconds)
            self.assertEqual(server.count(), 1)

        self.each(check)

    def test_a_quiet_stream_outlives_the_proxys_idle_limit(self):
        # All at once: it is the longest of these tests.
        waiting = []
        for proxy in PROXIES:
            server, there = self.through(proxy)
            waiting.append((proxy, server, self.visit(there)))
        beats = 2 + int(IDLE_LIMIT / KEEP_ALIVE)
        for proxy, server, visitor in waiting:
            with self.subTest(proxy=proxy.__name__):
                visitor.wait("heartbeats", lambda v: len(v.history) > beats, 3 * IDLE_LIMIT)
                self.assertEqual(set(visitor.history), {1})
                self.visit(server)
                visitor.sees(2, within=1)

    def test_a_leave_is_seen(self):
        def check(proxy):
            # nginx says so at once, HAProxy when it has something to pass on.
            within = 1.0 if proxy is nginx else 2 * KEEP_ALIVE
            server, there = self.through(proxy)
            observer = self.visit(server)
            closed, reset = self.visit(there), self.visit(there)
            observer.sees(3)
            closed.close()
            reset.reset()
            measured(f"leaves through {proxy.__name__}", observer.sees(1, within=within))

        self.each(check)

    def test_the_stop_reaches_the_visitor_as_a_good_end(self):
        def check(proxy):
            server, there = self.through(proxy)
            visitor = self.visit(there)
            server.signal(signal.SIGTERM)
            visitor.is_ended(within=2)
            last = visitor.events[-1]
            self.assertEqual((last.number, bool(last.retry)), (None, True))
            self.assertEqual(server.wait(2), 0)

        self.each(check)

    def test_who_is_behind_a_trusted_proxy_has_a_limit_of_their_own(self):
        def check(proxy):
            limit = ["--max-streams-per-ip", "1"]
            _, there = self.through(proxy, *limit, "--trusted-proxy", "127.0.0.1/32")
            self.visit(there, source="127.0.0.2")
            self.visit(there, source="127.0.0.3")
            spoofed = raw.request("/events", "x-forwarded-for: 192.0.2.1")
            answer = raw.ask(there.address, spoofed, source="127.0.0.2")
            self.assertEqual(answer.status, 429)
            self.assertTrue(answer.error)

        self.each(check)

    def test_behind_a_proxy_that_nobody_trusts_all_are_one_client(self):
        def check(proxy):
            _, there = self.through(proxy, "--max-streams-per-ip", "1")
            self.visit(there, source="127.0.0.2")
            answer = raw.ask(there.address, raw.request("/events"), source="127.0.0.3")
            self.assertEqual(answer.status, 429)

        self.each(check)


if __name__ == "__main__":
    unittest.main()
