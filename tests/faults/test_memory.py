"""What memory streams take and whether they leave it behind, in the release build:
optimised code asks the allocator for other things, and has been given other answers.
"""

import itertools
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

from certificate import certificate
from http2 import Http2
from server import RELEASE
from support import FaultTest
from waiting import DEADLINE, counted, eventually, measured

#: What the visitors are: processes of their own.
CROWD = pathlib.Path(__file__).with_name("crowd.py")

#: So many come, and all of them go.
COME_AND_GO, PROCESSES = 10_000, 4
#: So much more than before they may leave behind, and for so many seconds: their memory
#: is given back after one, and a little at a time during another.
LEFT, GIVEN_BACK = 4 * 2**20, 10

#: So many stay, in one room, and what each takes then, in bytes.
SETTLED, EACH = 3_000, 1_600

#: So many stay as browsers come: over TLS and HTTP/2, with one stream on each connection.
#: Most of what each takes then, in bytes, is the HTTP/2 and TLS libraries' buffers.
BROWSERS, EACH_BROWSER = 500, 32_000
#: The same over HTTP/1.1.
EACH_OLD_BROWSER = 6_500

#: So many connections of HTTP/2 stay, with so many streams on each, and what each stream
#: takes then, in bytes.
CONNECTIONS, OF_EACH, EACH_OF_MANY = 20, 100, 3_200


class Memory(FaultTest):
    def setUp(self):
        super().setUp()
        # Nothing is told meanwhile but who comes and goes.
        self.started = self.server("--keep-alive", "10m", quiet=True, binary=RELEASE)
        # What is made once is not theirs.
        self.leave(self.come(100, 1))
        self.before = self.started.rss()

    def come(self, streams, processes, *together):
        """So many streams, each of which has been told its first number."""
        crowds = []
        for nth in range(processes):
            command = [sys.executable, CROWD, "hold", *self.started.address]
            # Each has an address of its own, so that the ports suffice.
            command += [f"127.0.7.{nth}", streams // processes, *together]
            crowds.append(
                self.child(subprocess.Popen(map(str, command), stdout=subprocess.PIPE, text=True))
            )
        for crowd in crowds:
            self.assertEqual(crowd.stdout.readline(), f"{streams // processes}\n")
        self.streams_are(streams)
        return crowds

    def leave(self, crowds):
        for crowd in crowds:
            crowd.kill()
        self.streams_are(0)

    def streams_are(self, number):
        eventually(
            "the number of streams", lambda: self.started.metrics()["headcount_streams"], number
        )

    def growth(self):
        return self.started.rss() - self.before

    def test_what_a_crowd_took_is_given_back_soon_after_it_has_gone(self):
        crowds = self.come(COME_AND_GO, PROCESSES)
        counted("bytes for each of 10,000 streams that just came", self.growth() / COME_AND_GO)
        self.leave(crowds)
        gone = time.monotonic()
        eventually("what is left", self.growth, lambda left: left < LEFT, within=GIVEN_BACK)
        measured("memory of 10,000 streams is given back", time.monotonic() - gone)

    def test_a_stream_that_has_settled_takes_little(self):
        self.come(SETTLED, 1, SETTLED)
        each = eventually(
            "what each takes",
            lambda: self.growth() / SETTLED,
            lambda each: each < EACH,
            within=GIVEN_BACK,
        )
        counted("bytes for each of 3,000 streams that settled", each)

    def test_a_thread_of_the_allocators_own_gives_memory_back_and_nothing_is_wrong_with_it(self):
        names = [
            task.joinpath("comm").read_text().strip()
            for task in pathlib.Path(f"/proc/{self.started.pid}/task").iterdir()
        ]
        self.assertIn("jemalloc_bg_thd", names)
        self.assertNotIn("WARN", "\n".join(self.started.lines))

    def test_other_settings_of_the_allocator_are_a_warning(self):
        server = self.server(
            binary=RELEASE, env={"_RJEM_MALLOC_CONF": "muzzy_decay_ms:60000"},
        )
        warnings = [line for line in server.lines if "WARN" in line]
        self.assertEqual(len(warnings), 2, warnings)
        for line in warnings:
            self.assertIn("_RJEM_MALLOC_CONF", line)
            self.assertIn("muzzy_decay_ms", line)


class MemoryByOtherWays(FaultTest):
    def each(self, server, come, number, limit, what):
        """What each of so many takes, after a tenth as many have come."""
        # What is made once is not theirs.
        come(number // 10)
        before = server.rss()
        come(number)
        each = eventually(
            "what each takes",
            lambda: (server.rss() - before) / number,
            lambda each: each < limit,
            within=GIVEN_BACK,
        )
        counted(f"bytes for each of {number} {what}", each)

    def over_tls(self, protocol):
        """A server, and how a connection to it is opened."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        cert, key = certificate(pathlib.Path(directory.name), "own")
        trusting = ssl.create_default_context(cafile=cert)
        trusting.set_alpn_protocols([protocol])
        server = self.server(
            "--tls-cert", cert, "--tls-key", key, "--keep-alive", "10m", quiet=True, binary=RELEASE
        )

        def connect():
            sock = socket.create_connection(server.address, DEADLINE)
            self.addCleanup(sock.close)
            return trusting.wrap_socket(sock, server_hostname="127.0.0.1")

        return server, connect

    def test_a_browsers_connection_that_has_settled_takes_no_more_than_its_buffers(self):
        server, connect = self.over_tls("h2")

        def come(number):
            for nth in range(number):
                client = Http2(server.address, scheme="https", sock=connect())
                self.addCleanup(client.close)
                # Who comes later is told to a few only.
                client.join(f"/events?room={nth // 50}")

        self.each(server, come, BROWSERS, EACH_BROWSER, "connections of browsers")

    def test_a_stream_over_tls_alone_takes_little_more_than_its_session(self):
        server, connect = self.over_tls("http/1.1")

        def come(number):
            for nth in range(number):
                sock = connect()
                self.addCleanup(sock.close)
                sock.sendall(f"GET /events?room={nth // 50} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
                told = b""
                while b"\ndata: " not in told:
                    told += sock.recv(4096)

        self.each(server, come, BROWSERS, EACH_OLD_BROWSER, "streams over TLS and HTTP/1.1")

    def test_a_stream_among_many_on_a_connection_takes_little(self):
        server = self.server("--keep-alive", "10m", quiet=True, binary=RELEASE)
        connections = itertools.count()

        def come(number):
            for _ in range(number // OF_EACH):
                client = Http2(server.address)
                self.addCleanup(client.close)
                room = next(connections)
                for _ in range(OF_EACH):
                    client.join(f"/events?room={room}")

        streams = CONNECTIONS * OF_EACH
        self.each(server, come, streams, EACH_OF_MANY, f"streams, {OF_EACH} on each connection")


if __name__ == "__main__":
    unittest.main()
