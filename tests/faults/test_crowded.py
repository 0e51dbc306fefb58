"""Connections that only take up room: silent ones, idle ones, and those that leave their
answers untaken. They are closed when there is need, the longest idle first; those that
have a stream stay.
"""

import contextlib
import resource
import socket
import time
import unittest

import raw
from http2 import Http2
from support import FaultTest
from visitor import H2Visitor
from waiting import DEADLINE, counted, eventually

DESCRIPTORS = 128
ATTACKERS = 200
NEWCOMERS = 8

MB = 1024 * 1024


class Crowded(FaultTest):
    """More connections than the server has descriptors for."""

    def silent(self, server):
        return [raw.connect(server.address) for _ in range(ATTACKERS)]

    def half_a_head(self, server):
        clients = self.silent(server)
        for client in clients:
            client.sendall(b"GET /count HTTP/1.1\r\nhost: h")
        return clients

    def kept_alive(self, server):
        clients = self.silent(server)
        for client in clients:
            client.sendall(raw.request("/healthz"))
        return clients

    def idle_over_http_2(self, server):
        return [Http2(server.address) for _ in range(ATTACKERS)]

    def without_a_window(self, server):
        clients = [Http2(server.address, window=0) for _ in range(ATTACKERS)]
        for client in clients:
            client.ask("/metrics")
        return clients

    def crowd(self, attack):
        """Newcomers are let in at once, and whoever is there already notices nothing."""
        server = self.server()
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        visitors = [self.visit(server), self.visit(server, kind=H2Visitor)]
        with contextlib.ExitStack() as stack:
            for client in attack(server):
                stack.callback(client.close)
            for _ in range(NEWCOMERS):
                visitors.append(self.visit(server))
            self.assertEqual(server.count(), len(visitors))
        for visitor in visitors:
            visitor.sees(len(visitors))
            self.assertIsNone(visitor.ended)

    def test_silent_connections_keep_nobody_out(self):
        self.crowd(self.silent)

    def test_half_a_request_keeps_nobody_out(self):
        self.crowd(self.half_a_head)

    def test_connections_that_are_kept_alive_keep_nobody_out(self):
        self.crowd(self.kept_alive)

    def test_idle_connections_of_http_2_keep_nobody_out(self):
        self.crowd(self.idle_over_http_2)

    def test_answers_that_are_not_taken_keep_nobody_out(self):
        self.crowd(self.without_a_window)

    def assert_crowded(self, server, limit, **connections):
        """What the metrics say of connections for which there was no room, of all limits."""
        text = raw.ask(server.admin(), raw.request("/metrics", host="localhost")).body.decode()
        told = {line for line in text.splitlines() if line.startswith("headcount_connections_")}
        bit = {
            f'headcount_connections_{what}_total{{reason="{limit}"}} {number}'
            for what, number in connections.items()
        }
        self.assertEqual({line for line in told if not line.endswith(" 0")}, bit)

    def test_for_a_connection_too_many_the_longest_idle_is_closed(self):
        server = self.server("--max-connections", 4, "--admin-listen", "127.0.0.1:0")
        streams = [self.visit(server), self.visit(server, kind=H2Visitor)]
        with raw.connect(server.address) as first, raw.connect(server.address) as second:
            self.assertEqual(raw.ask_on(first, raw.request("/healthz")).status, 200)
            third = self.visit(server)
            self.assertTrue(raw.is_closed(second), "it has asked for nothing")
            self.assertEqual(raw.ask_on(first, raw.request("/healthz")).status, 200)
            fourth = self.visit(server)
            self.assertTrue(raw.is_closed(first))
        # Each of them has a stream now.
        with raw.connect(server.address) as one_more:
            with contextlib.suppress(ConnectionError):
                one_more.sendall(raw.request("/healthz"))
            self.assertTrue(raw.is_closed(one_more))
        self.assert_crowded(server, closed=2, refused=1, limit="max_connections")
        for visitor in [*streams, third, fourth]:
            visitor.sees(4)
        fourth.close()
        third.sees(3)

        def status():
            # Until the last one's connection is gone too, there is no room.
            with contextlib.suppress(ConnectionError):
                return server.get("/healthz").status

        eventually("an answer", status, 200)

    def test_an_address_has_a_limit_of_its_own_and_a_proxy_has_not(self):
        server = self.server(
            "--max-connections-per-ip", 2, "--trusted-proxy", "127.0.0.9/32",
            "--admin-listen", "127.0.0.1:0",
        )
        stream = self.visit(server, source="127.0.0.2")
        with raw.connect(server.address, "127.0.0.2") as idle:
            self.visit(server, source="127.0.0.2")
            self.assertTrue(raw.is_closed(idle))
        with raw.connect(server.address, "127.0.0.2") as one_more:
            self.assertTrue(raw.is_closed(one_more))
        self.assert_crowded(server, closed=1, refused=1, limit="max_connections_per_ip")
        stream.sees(2)
        for _ in range(3):
            self.visit(server, source="127.0.0.9")
        stream.sees(5)


class Untaken(FaultTest):
    """Answers that are no streams, and that their clients do not take."""

    CONNECTIONS = 20
    REQUESTS = 128
    MAX_WAITING = 8

    def test_over_http_2_most_are_given_up_soon_and_the_rest_after_30_s(self):
        server = self.server(quiet=True)
        before = server.rss()
        clients = []
        for _ in range(self.CONNECTIONS):
            client = Http2(server.address, window=0)
            self.addCleanup(client.close)
            for _ in range(self.REQUESTS):
                client.ask("/metrics", flush=False)
            client.flush()
            clients.append(client)
        # One that takes what it asks for has its stream on the same kind of connection.
        stream = self.visit(server, kind=H2Visitor)
        slow = raw.connect(server.address)
        self.addCleanup(slow.close)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        slow.sendall(raw.request("/client.js") * 50)
        asked = time.monotonic()

        for client in clients:
            client.until(lambda: self.waiting(client) <= self.MAX_WAITING, "most are reset", DEADLINE)
        grown = eventually(
            "what a connection keeps waiting",
            lambda: (server.rss() - before) / self.CONNECTIONS,
            lambda size: size < MB / 2,
        )
        counted("kB that a connection keeps waiting", grown / 1024)

        def drip():
            with contextlib.suppress(ConnectionError):
                slow.recv(50)
            stream.pump()  # it answers PINGs, too
            for client in clients:
                client.hear(0.01)
            return sum(map(self.waiting, clients))

        eventually("the answers that wait", drip, 0, within=30 + 5)
        self.assertGreater(time.monotonic() - asked, 25)
        # Over HTTP/1 it is the connection: what the systems had taken already still comes.
        rest = b""
        with contextlib.suppress(ConnectionError):
            while data := slow.recv(65_536):
                rest += data
        self.assertLess(rest.count(b"HTTP/1.1 200"), 40, "it was not closed")
        self.assertEqual(server.get("/healthz").status, 200)
        newcomer = self.visit(server)
        stream.sees(2)
        newcomer.sees(2)

    def waiting(self, client):
        return sum(1 for a in client.answers.values() if not a.ended and a.reset is None)

    def test_who_says_fin_right_after_the_request_is_answered(self):
        server = self.server()
        answers = []
        for _ in range(300):
            with raw.connect(server.address) as client:
                client.sendall(raw.request("/count"))
                client.shutdown(socket.SHUT_WR)
                with contextlib.suppress(AssertionError, ConnectionError):
                    answers.append(raw.answer_on(client).status)
        self.assertEqual(answers, [200] * 300)


if __name__ == "__main__":
    unittest.main()
