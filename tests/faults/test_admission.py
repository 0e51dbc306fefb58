"""Who gets a stream and who does not, over HTTP/1.1 and HTTP/2.

Every refusal is one row of a table. Whatever is refused gets `{"error":"…"}`,
moves no count, and the observer of the room it asked for is told nothing.
"""

import subprocess
import unittest

import raw
from http2 import Http2
from support import FaultTest
from waiting import eventually

ROOM = "watched"
HERE = f"/events?room={ROOM}"
EVENT_SOURCE = (
    "accept: text/event-stream",
    "cache-control: no-cache",
    "sec-fetch-dest: empty",
    "sec-fetch-mode: cors",
    "sec-fetch-site: same-origin",
)

OTHER_METHODS = ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]

# What is refused on any version of HTTP: the status, the path, the headers.
REFUSED = [
    *((406, HERE, [f"accept: {accept}"]) for accept in (
        "text/html",
        "application/json, image/*",
        "text/event-streams",
        "text/event-stream;q=0",
        "text/event-stream; q=0.000, */*",
        "text/*;q=0, */*",
        "*/*;q=0",
    )),
    *((403, HERE, [f"sec-fetch-dest: {dest}"]) for dest in (
        "document", "embed", "iframe", "image", "object", "script", "style", "video", "worker",
    )),
    (403, HERE, ["sec-fetch-dest: empty", "sec-fetch-mode: no-cors"]),
    # Browsers that don't say what a request is for: over plain HTTP, or old ones.
    *((403, HERE, ["user-agent: Mozilla/5.0 (X11)", *accept]) for accept in (
        [],
        ["accept: */*"],
        ["accept: image/avif,image/webp,image/*,*/*;q=0.8"],
        ["accept: text/html,application/xml;q=0.9,*/*;q=0.8"],
        ["accept: text/css,*/*;q=0.1"],
    )),
    *((403, HERE, [*EVENT_SOURCE[:2], f"origin: {origin}"]) for origin in (
        "https://example.org", "http://headcount:8080", "null", "", "junk", "\xff",
    )),
    (403, HERE, ["origin: http://headcount", "sec-fetch-site: same-site"]),
    (403, HERE, [*EVENT_SOURCE[:4], "sec-fetch-site: cross-site"]),
    (403, HERE, ["sec-purpose: prefetch"]),
    (403, HERE, ["sec-purpose: prefetch;prerender"]),
    (403, HERE, ["sec-purpose: prefetch; anonymous-client-ip"]),
    (400, "/events?room=", []),
    (400, "/events?room", []),
    (400, "/events?room=" + "a" * 129, []),
    (400, "/events?room=" + "%E2%82%AC" * 43, []),  # 129 bytes, 43 characters
    (400, "/events?room=a%00", []),
    (400, "/events?room=a%0Ab", []),
    (400, "/events?room=a%7F", []),
    (400, "/events?room=a%C2%85b", []),  # a control character beyond ASCII
    (400, "/events?room=%FF", []),
    (400, "/events?room=%C0%AF", []),  # overlong
    (400, "/events?room=%ED%A0%80", []),  # half a surrogate pair
    (400, f"{HERE}&room={ROOM}", []),
    (400, f"{HERE}&r%6Fom=watched", []),
]

# What HTTP/1 alone can say. The connection is closed, for nobody knows whether what
# follows on it is a request or a body.
SMUGGLED = [
    raw.request(HERE, "content-length: 1", body=b"x"),
    raw.request(HERE, "content-length: 1"),
    raw.request(HERE, "content-length: 99999999999", body=b"x" * 5_000),
    raw.request(HERE, "content-length: 1", "expect: 100-continue"),
    raw.request(HERE, "transfer-encoding: chunked", body=b"0\r\n\r\n"),
    raw.request(HERE, "transfer-encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"),
    raw.request(HERE, "transfer-encoding: chunked"),
    raw.request(HERE, "content-length: 5", "transfer-encoding: chunked", body=b"0\r\n\r\n"),
    raw.request(HERE, "transfer-encoding: chunked", "content-length: 0", body=b"0\r\n\r\n"),
    raw.request(HERE, host=None),
    raw.request(HERE, version="1.0", host=None),
    raw.request(f"http://headcount{HERE}", host=None),
    raw.request(f"http://headcount{HERE}", host="elsewhere"),
    raw.request(HERE, "host: headcount"),
    raw.request(HERE, "host: elsewhere"),
]

ADMITTED = [
    [],
    EVENT_SOURCE,
    ["accept: */*"],
    ["accept: text/*"],
    ["accept: TEXT/Event-Stream"],
    ["accept: text/html, text/event-stream;q=0.1"],
    ["accept: text/html", "accept: */*;q=0.5"],
    ["accept: text/*;q=0, text/event-stream"],
    ["sec-fetch-dest: empty", "sec-fetch-mode: same-origin"],
    ["last-event-id: "],
    ["last-event-id: junk"],
    ["last-event-id: " + "0" * 31],
    ["last-event-id: " + "0" * 32],  # well-formed, but nobody's seat
    ["last-event-id: " + "f" * 8_000],
    ["last-event-id: \xff\xfe"],
    ["x-forwarded-for: 192.0.2.1, junk, \xff"],
    ["cookie: a=b"],
    ["user-agent: Mozilla/5.0 (X11)", "accept: text/event-stream"],
    ["user-agent: Mozilla/5.0 (X11)", "sec-fetch-mode: cors"],
    ["origin: https://example.org", "sec-fetch-site: same-origin"],
]


class Rooms(FaultTest):
    """Only the rooms that the site has."""

    def test_any_other_room_is_refused_over_every_version_of_http_and_the_log_names_it(self):
        server = self.server("--rooms", "/blog/*,водні ?", env={"HEADCOUNT_ROOMS": "lobby"})
        observer = self.visit(server, "/blog/1")
        other = "/events?room=%E2%80%AElobby&room=/blog/1"
        self.assertEqual(raw.ask(server.address, raw.request(other)).status, 403)
        # The option wins over the variable.
        self.assertEqual(raw.ask(server.address, raw.request("/events")).status, 403)
        with Http2(server.address) as client:
            self.assertEqual(client.get(other).status, 403)
            for path in ("/count?room=/shop", "/badge.svg?room=/blog"):
                answer = client.get(path)
                self.assertEqual(answer.status, 403)
                self.assertIn("--rooms", answer.error)
            self.assertEqual(client.get("/count?room=%D0%B2%D0%BE%D0%B4%D0%BD%D1%96+8").status, 200)
        said = lambda: server.logged("a stream was refused", reason="rooms")
        [line] = eventually("the log", said, lambda lines: len(lines) == 1)
        self.assertEqual(line["room"], "<U+202E>lobby")
        self.assertEqual(server.metrics()['headcount_refusals_total{reason="rooms"}'], 3)
        self.assertEqual(server.metrics()["headcount_rooms"], 1)
        self.visit(server, "/blog/1")
        observer.sees(2)


class Admission(FaultTest):
    def setUp(self):
        super().setUp()
        self.it = self.server()
        self.observer = self.visit(self.it, ROOM)

    def refusals(self):
        metrics = self.it.metrics()
        total = sum(n for name, n in metrics.items() if name.startswith("headcount_refusals_total"))
        return total, metrics["headcount_joins_total"]

    def assert_refused(self, status, answer, has_body=True):
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        if has_body:
            self.assertTrue(answer.error, answer)
        if status == 405:
            self.assertEqual(answer.headers["allow"], "GET")

    def assert_nobody_noticed(self):
        """Once all rows are done: had one of them been counted even for a moment,
        the observer would have been told before it is told of this visitor."""
        with self.subTest("nobody noticed"):
            self.assertEqual(self.it.count(ROOM), 1)
            self.visit(self.it, ROOM)
            self.observer.sees(2)
            self.assertEqual(self.observer.history, [1, 2])

    def test_over_http_1_each_refusal_is_told_and_never_counted(self):
        rows = [(405, raw.request(HERE, method=method)) for method in OTHER_METHODS]
        rows += [(405, raw.request(HERE, "content-length: 2", method="POST", body=b"{}"))]
        rows += [(status, raw.request(path, *headers)) for status, path, headers in REFUSED]
        before = self.refusals()
        for status, request in rows:
            with self.subTest(request=request):
                answer = raw.ask(self.it.address, request)
                self.assert_refused(status, answer, has_body=not request.startswith(b"HEAD "))
        self.assert_nobody_noticed()
        refused, joined = self.refusals()
        self.assertEqual((refused - before[0], joined - before[1]), (len(rows), 1))

    def test_a_request_with_a_body_or_without_exactly_one_host_is_refused_and_closed(self):
        for request in SMUGGLED:
            with self.subTest(request=request[:120]):
                # Another request at its end: it must not be taken for one.
                with raw.connect(self.it.address) as sock:
                    answer = raw.ask_on(sock, request + raw.request(HERE))
                    self.assert_refused(400, answer)
                    self.assertEqual(answer.headers["connection"], "close")
                    self.assertTrue(raw.is_closed(sock), "it is still open, or says more")
        self.assert_nobody_noticed()

    def test_over_http_1_each_of_the_others_is_admitted(self):
        for headers in ADMITTED:
            with self.subTest(headers=[header[:40] for header in headers]):
                visitor = self.visit(self.it, ROOM, headers=headers)
                self.assertEqual(visitor.history, [2])
                self.observer.sees(2)
                visitor.close()
                self.observer.sees(1)
        for request in (
            raw.request(HERE, "content-length: 0"),
            raw.request(HERE, version="1.0"),
            raw.request(HERE, host=""),
            raw.request(f"http://headcount{HERE}"),
            raw.request(HERE, "connection: upgrade", "upgrade: websocket"),
            raw.request(HERE, "connection: upgrade, http2-settings", "upgrade: h2c"),
            raw.request("/events?room=" + "a" * 128),
            raw.request("/events?room=" + "%E2%82%AC" * 42),
            raw.request("/events?room=%2Fblog%2Fhello&x=1"),
            raw.request("/events"),
        ):
            with self.subTest(request=request):
                self.assertEqual(raw.ask(self.it.address, request).status, 200)

    def test_over_http_2_each_refusal_is_told_and_never_counted(self):
        rows = [(405, method, HERE, []) for method in OTHER_METHODS]
        rows += [(status, "GET", path, headers) for status, path, headers in REFUSED]
        with Http2(self.it.address) as client:
            for status, method, path, headers in rows:
                with self.subTest(method=method, path=path, headers=headers):
                    fields = [tuple(header.split(": ", 1)) for header in headers]
                    answer = client.get(path, fields, method=method)
                    self.assert_refused(status, answer, has_body=method != "HEAD")
            with self.subTest("a body"):
                self.assert_refused(400, client.get(HERE, [("content-length", "1")], body=b"x"))
        self.assert_nobody_noticed()

    def test_over_http_2_a_stream_has_exactly_one_host(self):
        rows = [
            # :authority, Host, status
            (None, [], 400),
            (None, ["a"], 200),
            (None, ["a", "a"], 400),
            ("a", [], 200),
            ("a", ["A"], 200),
            ("a", ["b"], 400),
            ("a", ["a:80"], 400),
            ("a", ["a", "a"], 400),
            ("a", ["a", "b"], 400),
        ]
        with Http2(self.it.address) as client:
            for authority, hosts, status in rows:
                with self.subTest(authority=authority, hosts=hosts):
                    client.authority = authority
                    answer = client.ask("/events", [("host", host) for host in hosts])
                    client.until(lambda: answer.ended or answer.counts, "an answer")
                    self.assertEqual(answer.status, status)
                    if status == 400:
                        self.assert_refused(400, answer)
                    else:
                        client.reset(answer)
        self.assert_nobody_noticed()

    def test_over_http_2_a_body_is_refused_though_no_length_announces_it(self):
        with Http2(self.it.address) as client:
            answer = client.ask(HERE, body=b"x")
            client.until(lambda: answer.ended or answer.counts, "an answer")
            self.assert_refused(400, answer)
        self.assert_nobody_noticed()

    def test_over_http_2_whoever_sends_a_body_gets_the_whole_answer_and_no_reset(self):
        # As much as the window takes at first, in pieces of which each is a frame.
        pieces = [b"x" * 16_000] * 4
        with Http2(self.it.address) as client:
            client.hear(1)  # its settings
            for method, path, status in [
                ("GET", HERE, 400),
                ("POST", HERE, 405),
                ("POST", "/count", 405),
                ("GET", "/count", 200),
                ("POST", "/", 405),
            ]:
                with self.subTest(method=method, path=path):
                    answer = client.ask(path, method=method, body=pieces[0], ends=False)
                    for piece in pieces[1:]:
                        # Were it answered before, it would be heard of here.
                        client.hear(0.05)
                        self.assertIsNone(answer.reset)
                        client.h2.send_data(answer.id, piece)
                        client.flush()
                    client.h2.end_stream(answer.id)
                    client.flush()
                    client.until(lambda: answer.ended, "the end of the answer")
                    client.get("/healthz")  # what came after it has come
                    self.assertEqual((answer.status, answer.reset), (status, None))
                    self.assertEqual(bool(answer.error), status != 200)
            # And on the same connection, which is as good as before.
            self.assertEqual(client.get("/count").status, 200)
        self.assert_nobody_noticed()

    def test_curl_is_told_why_its_body_is_refused_over_http_2(self):
        for length in (1, 3_000_000):
            with self.subTest(length=length):
                url = f"http://127.0.0.1:{self.it.port}{HERE}"
                command = ["curl", "-s", "--http2-prior-knowledge", "-X", "GET", url]
                curl = subprocess.run(
                    [*command, "--data-binary", "@-"], input=b"x" * length,
                    stdout=subprocess.PIPE, timeout=20,
                )
                self.assertEqual(curl.returncode, 0)
                self.assertTrue(raw.error(curl.stdout), curl)
        self.assert_nobody_noticed()

    def test_over_http_2_a_body_that_never_ends_is_answered_all_the_same(self):
        with Http2(self.it.address) as client:
            answer = client.ask(HERE, body=b"x", ends=False)
            client.until(lambda: answer.ended, "the end of the answer", within=3)
            self.assert_refused(400, answer)
        self.assert_nobody_noticed()

    def test_over_http_2_each_of_the_others_is_admitted(self):
        with Http2(self.it.address) as client:
            for headers in ADMITTED:
                with self.subTest(headers=[header[:40] for header in headers]):
                    fields = [tuple(header.split(": ", 1)) for header in headers]
                    answer = client.ask(HERE, fields)
                    client.until(lambda: answer.counts, "its first event")
                    self.assertEqual((answer.status, answer.counts), (200, [2]))
                    self.observer.sees(2)
                    client.reset(answer)
                    self.observer.sees(1)


if __name__ == "__main__":
    unittest.main()
