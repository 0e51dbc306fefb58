"""TLS: either HTTP by ALPN, a new certificate on SIGHUP, and wrong files at the start."""

import os
import pathlib
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

import raw
from certificate import certificate
from http2 import Http2
from server import BINARY
from support import FaultTest
from visitor import Visitor
from waiting import eventually


# Time limits of the server, in seconds.
HEAD = 10.0
SLACK = 2.0


class TlsVisitor(Visitor):
    """A stream over HTTP/1.1 over TLS."""

    def __init__(self, server, *args, context, **options):
        self.context = context
        super().__init__(server, *args, **options)

    def send(self, data):
        if not isinstance(self.socket, ssl.SSLSocket):
            self.socket = self.context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        super().send(data)


class Tls(FaultTest):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.made = pathlib.Path(directory.name)
        cls.first = certificate(cls.made, "first")
        cls.second = certificate(cls.made, "second", ("rsa:2048",))

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.cert = pathlib.Path(directory.name, "cert.pem")
        self.key = pathlib.Path(directory.name, "key.pem")
        self.install(self.first)

    def install(self, pair):
        self.cert.write_bytes(pair[0].read_bytes())
        self.key.write_bytes(pair[1].read_bytes())

    def tls_server(self, *args):
        return self.server("--tls-cert", self.cert, "--tls-key", self.key, *args)

    def connect(self, server, *protocols, trusts=None):
        """A connection that offers these protocols and trusts one certificate."""
        context = ssl.create_default_context(cafile=(trusts or self.first)[0])
        if protocols:
            context.set_alpn_protocols(protocols)
        sock = socket.create_connection(server.address, 5)
        try:
            return context.wrap_socket(sock, server_hostname="127.0.0.1")
        except BaseException:
            sock.close()
            raise

    def serves(self, server, pair):
        """Whether it shows this certificate to new connections."""
        try:
            self.connect(server, trusts=pair).close()
        except ssl.SSLCertVerificationError:
            return False
        return True

    def count(self, server):
        with self.connect(server) as sock:
            body = raw.ask_on(sock, raw.request("/count")).body
        return int(body.split(b'"count":')[1].rstrip(b"}"))

    def test_alpn_chooses_the_protocol_and_whoever_offers_none_gets_http_1(self):
        server = self.tls_server()
        for offered, chosen in [
            (["h2", "http/1.1"], "h2"),
            (["http/1.1", "h2"], "h2"),
            (["h2"], "h2"),
            (["http/1.1"], "http/1.1"),
            ([], None),
        ]:
            with self.subTest(offered=offered), self.connect(server, *offered) as sock:
                self.assertEqual(sock.selected_alpn_protocol(), chosen)
                self.assertIn(sock.version(), ("TLSv1.2", "TLSv1.3"))
                if chosen == "h2":
                    with Http2(server.address, scheme="https", sock=sock) as client:
                        self.assertEqual(client.get("/count").status, 200)
                else:
                    self.assertEqual(raw.ask_on(sock, raw.request("/count")).status, 200)

    def test_streams_over_either_protocol_see_each_other_come_and_go(self):
        server = self.tls_server()
        context = ssl.create_default_context(cafile=self.first[0])
        one = self.visit(server, kind=TlsVisitor, context=context)
        sock = self.connect(server, "h2")
        with Http2(server.address, scheme="https", sock=sock) as client:
            answer = client.join()
            self.assertEqual(answer.counts, [2])
            one.sees(2)
            third = self.visit(server, kind=TlsVisitor, context=context)
            client.until(lambda: answer.counts[-1] == 3, "the third")
            third.close()
            client.until(lambda: answer.counts[-1] == 2, "the third's leave")
            client.reset(answer)
            one.sees(1)
            client.join()
            one.sees(2)
        one.sees(1)

    def test_a_client_of_http_2_that_breaks_tls_ends_in_error(self):
        server = self.tls_server()
        sock = self.connect(server, "h2")
        with Http2(server.address, scheme="https", sock=sock) as client:
            client.join()
            # A record of data that nobody has encrypted.
            os.write(sock.fileno(), bytes.fromhex("1703030020") + bytes(32))
            self.end_logged(server, reason="error")

    def test_a_stop_ends_streams_over_tls_as_http_and_tls_have_it(self):
        server = self.tls_server()
        context = ssl.create_default_context(cafile=self.first[0])
        one = self.visit(server, kind=TlsVisitor, context=context)
        server.signal(signal.SIGTERM)
        one.is_ended(within=2)
        last = one.events[-1]
        self.assertEqual((last.number, bool(last.retry)), (None, True))
        # python raises an error if TLS is cut without a close_notify.
        self.assertEqual(one.socket.recv(1), b"")
        self.assertEqual(server.wait(2), 0)

    def test_sighup_brings_the_new_certificate_and_no_stream_ends(self):
        server = self.tls_server()
        context = ssl.create_default_context(cafile=self.first[0])
        one = self.visit(server, kind=TlsVisitor, context=context)
        self.install(self.second)
        self.assertTrue(self.serves(server, self.first), "nobody told it yet")
        server.signal(signal.SIGHUP)
        eventually("the new certificate", lambda: self.serves(server, self.second), True, 2)
        self.assertFalse(self.serves(server, self.first))
        newcomer = ssl.create_default_context(cafile=self.second[0])
        self.visit(server, kind=TlsVisitor, context=newcomer)
        one.sees(2)

    def test_a_session_is_resumed_after_many_others_and_after_a_new_certificate(self):
        server = self.tls_server()
        resuming = {}
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=self.first[0])
            context.minimum_version = context.maximum_version = version
            resuming[version] = context, self.session(server, context)
        for _ in range(300):
            self.connect(server).close()
        # Of the same kind: with TLS 1.2 the kind is a part of the session.
        renewed = certificate(self.made, "renewed")
        for pair in (self.first, renewed):
            self.install(pair)
            server.signal(signal.SIGHUP)
            eventually("the certificate", lambda: self.serves(server, pair), True, 2)
            for version, (context, session) in resuming.items():
                with self.subTest(version=version.name, renewed=pair is renewed):
                    resuming[version] = context, self.session(server, context, session)

    def session(self, server, context, earlier=None):
        """What a client keeps of a connection, to resume it with; it had to resume the
        earlier one."""
        with raw.connect(server.address) as sock:
            with context.wrap_socket(sock, server_hostname="127.0.0.1", session=earlier) as tls:
                self.assertEqual(tls.session_reused, earlier is not None)
                self.assertEqual(raw.ask_on(tls, raw.request("/count")).status, 200)
                return tls.session

    def test_a_bad_new_certificate_keeps_the_old_one_and_is_logged(self):
        server = self.tls_server()
        for break_it in (
            lambda: self.cert.write_text("not a certificate\n"),
            lambda: self.cert.write_text(""),
            lambda: self.key.write_bytes(self.second[1].read_bytes()),  # of another
            lambda: self.key.unlink(),
        ):
            break_it()
            logged = len(server.lines)
            server.signal(signal.SIGHUP)
            eventually("what it says", lambda: len(server.lines), lambda n: n > logged, 2)
            self.assertRegex(server.lines[logged], '"(WARN|ERROR)"')
            self.assertTrue(self.serves(server, self.first))
            self.install(self.first)
        self.install(self.second)
        server.signal(signal.SIGHUP)
        eventually("the new certificate", lambda: self.serves(server, self.second), True, 2)

    def test_wrong_files_at_the_start_are_one_clear_sentence_and_nothing_is_bound(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            # Were it to bind first, it would complain of the address.
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            missing, empty = self.made / "missing.pem", self.made / "empty.pem"
            empty.write_text("")
            cert, key = self.first
            for files, named in [
                ((missing, key), missing),
                ((cert, missing), missing),
                ((empty, key), empty),
                ((cert, empty), empty),
                ((key, cert), None),
                ((cert, self.second[1]), None),
                ((self.made, key), self.made),
                ((cert, None), "--tls-key"),
                ((None, key), "--tls-cert"),
            ]:
                with self.subTest(files=files):
                    args = [BINARY, "--listen", address]
                    for option, file in zip(("--tls-cert", "--tls-key"), files, strict=True):
                        args += [option, file] if file else []
                    ended = subprocess.run(args, capture_output=True, text=True, timeout=5)
                    self.assertGreater(ended.returncode, 0)
                    self.assertEqual(ended.stdout, "")
                    self.assertNotIn("cannot listen", ended.stderr)
                    self.assertNotIn("panicked", ended.stderr)
                    if all(files):
                        self.assertRegex(ended.stderr, r"\Aheadcount: [^\n]+\n\Z")
                    if named:
                        self.assertIn(str(named), ended.stderr)

    def test_plain_http_on_the_tls_port_is_not_answered(self):
        server = self.tls_server()
        with raw.connect(server.address) as plain:
            plain.sendall(raw.request("/count"))
            self.assertNotIn(b"HTTP", plain.recv(65_536))
        self.assertEqual(self.count(server), 0)

    def test_whoever_does_not_finish_a_handshake_is_closed_in_time(self):
        server = self.tls_server()
        hello = bytes.fromhex("16030100c8010000c40303")  # the begin of a ClientHello
        spoken = self.connect(server, "http/1.1")
        peers = {name: raw.connect(server.address) for name in ("silent", "half", "dripped")}
        peers["half"].sendall(hello)
        for sock in (*peers.values(), spoken):
            self.addCleanup(sock.close)
            sock.setblocking(False)
        closed, _ = raw.follow(peers, {"dripped": hello + bytes(60)}, HEAD + SLACK)
        for name in peers:
            with self.subTest(name):
                self.assertIn(name, closed, "it is still open")
                self.assertGreater(closed[name], HEAD - 1)
        spoken.settimeout(SLACK)
        self.assertEqual(spoken.recv(1), b"", "silent after its handshake")
        self.assertEqual(self.count(server), 0)


if __name__ == "__main__":
    unittest.main()
