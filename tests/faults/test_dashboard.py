"""The dashboard's API: what it answers, its limits, and that watching changes nothing."""

import json
import re
import signal
import time
from urllib.parse import quote

import raw
from redis import Redis
from support import FaultTest
from waiting import DEADLINE, eventually

HERE = "127.0.0.1:0"
TOKEN = "0123456789-abcdef"
#: How many feeds may be open; the most that each is sent in a second, in bytes.
FEEDS, RATE = 16, 20_000
#: How many other connections may be open.
CONNECTIONS = 32
#: So many rooms with long names fit on a stream.
AT_ONCE = 16


def ask(address, path, *headers, host="localhost", **request):
    return raw.ask(address, raw.request(path, *headers, host=host, **request))


def get(address, path):
    """What is answered as JSON."""
    answer = ask(address, path)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def join(server, rooms):
    """Opens a stream of these rooms; the socket that holds it."""
    sock = raw.connect(server.address)
    query = "&".join(f"room={quote(room, safe='')}" for room in rooms)
    sock.sendall(raw.request(f"/events?{query}"))
    return sock


class Feed:
    """Somebody who watches."""

    def __init__(self, address, path="/api/feed", *headers):
        self.sock = raw.connect(address)
        self.sock.sendall(raw.request(path, *headers, host="localhost"))
        self.data = b""
        self.size = 0

    def close(self):
        self.sock.close()

    def read(self, within):
        """Takes what comes; False at the end."""
        self.sock.settimeout(within)
        try:
            data = self.sock.recv(65_536)
        except TimeoutError:
            return True
        self.data += data
        self.size += len(data)
        return bool(data)

    def frames(self):
        """Every whole frame until now: its event and its data."""
        # The chunks' own lines are between them.
        text = re.sub(rb"\r\n(?:[0-9a-f]+\r\n)?", b"", self.data.partition(b"\r\n\r\n")[2])
        found = re.findall(rb"event: (\w+)\ndata: (.*)\n\n", text)
        return [(event.decode(), json.loads(data)) for event, data in found]

    def until(self, what, holds):
        """Reads until something holds of all frames; the last of them."""
        end = time.monotonic() + DEADLINE
        while not holds(self.frames()):
            if time.monotonic() > end or not self.read(1):
                raise AssertionError(f"not told: {what}; {self.data[-2000:]}")
        return self.frames()[-1][1]

    def rooms(self):
        """What a page shows that has heard all of it."""
        rooms = {}
        for _, frame in self.frames():
            rooms.update((room[0], room[1]) for room in frame["rooms"])
            for room in frame.get("gone", ()):
                rooms.pop(room, None)
        return rooms


class Dashboard(FaultTest):
    def watch(self, address, *args):
        feed = Feed(address, *args)
        self.addCleanup(feed.close)
        return feed

    def fill(self, server, rooms):
        """Has one person in each of these rooms."""
        before = len(self.listed(server)[0])
        for at in range(0, len(rooms), AT_ONCE):
            sock = join(server, rooms[at : at + AT_ONCE])
            self.addCleanup(sock.close)
        eventually(
            "how many rooms there are",
            lambda: get(server.admin(), "/api/rooms?limit=1")["found"],
            before + len(rooms),
        )

    def listed(self, server, query=""):
        """All pages of a list, and their number."""
        rooms, pages, after = [], 0, ""
        while after is not None:
            cursor = f"&after={quote(after)}" if after else ""
            page = get(server.admin(), f"/api/rooms?{query}{cursor}")
            rooms += [(row["room"], row["count"]) for row in page["rooms"]]
            pages, after = pages + 1, page["next"]
        return rooms, pages

    def test_rooms_are_listed_page_by_page_the_largest_first_and_found_by_a_part_of_their_name(self):
        server = self.server("--admin-listen", HERE, "--max-rooms-per-ip", 1000)
        names = [f"room {n:03}" for n in range(250)]
        self.fill(server, names)
        hostile = ['<script>"\\', "Крамниця", "..", "a/b?c&d=e%"]
        for count, name in enumerate(hostile, 2):
            for _ in range(count):
                sock = join(server, [name])
                self.addCleanup(sock.close)
        first = [(name, count) for count, name in enumerate(hostile, 2)][::-1]
        everything = first + [(name, 1) for name in names]
        eventually("the rooms", lambda: self.listed(server)[0], everything)
        # Among rooms of equal size none is left out, and none comes twice.
        for limit, pages in ((7, 37), (100, 3), (254, 1), (1000, 1)):
            self.assertEqual(self.listed(server, f"limit={limit}"), (everything, pages))
        self.assertEqual(len(get(server.admin(), "/api/rooms")["rooms"]), 100)
        for part, found in (("ROOM%20", 250), ("room+24", 10), ("%D0%BA%D1%80", 1), ("%3C", 1),
                            ("nobody", 0)):
            answer = get(server.admin(), f"/api/rooms?q={part}&limit=1")
            self.assertEqual((answer["found"], len(answer["rooms"])), (found, min(found, 1)), part)
        self.assertEqual(self.listed(server, "q=room&limit=60")[0], [(name, 1) for name in names])

    def test_bad_input_is_told_what_is_wrong_with_it(self):
        server = self.server("--admin-listen", HERE)
        admin = server.admin()
        for path in (
            "/api/rooms?limit=0", "/api/rooms?limit=1001", "/api/rooms?limit=x",
            "/api/rooms?limit=5&limit=5", "/api/rooms?q=%FF", f"/api/rooms?q={'a' * 129}",
            "/api/rooms?after=x", "/api/rooms?after=x:y", "/api/rooms?after=1:",
            "/api/rooms?after=-1:a", "/api/rooms?after=1:a&after=1:a",
            "/api/rooms?after=99999999999999999999:a", "/api/feed?limit=0", "/api/feed?room=",
            "/api/feed?room=a&room=b", "/api/feed?q=%C3", "/api/rooms/%FF/history",
            "/api/rooms/%0A/history", "/api/rooms/a/history?from=x", "/api/rooms/a/history?step=7",
            "/api/rooms/a/history?step=0", "/api/rooms/a/history?from=9&to=9",
            "/api/rooms/a/history?to=-1", "/api/history?room=", "/api/history?from=1&from=2",
        ):
            answer = ask(admin, path)
            self.assertEqual((answer.status, bool(answer.error)), (400, True), path)
        for method, path in (("POST", "/api/rooms"), ("DELETE", "/api/feed"), ("POST", "/login")):
            answer = ask(admin, path, method=method)
            self.assertIn(answer.status, (404, 405), path)
            self.assertTrue(answer.error)
        self.assertEqual(ask(admin, "/api/nothing").status, 404)
        # More than the last minutes is not kept without a file, and it says what keeps it.
        answer = ask(admin, "/api/rooms/a%2Fb/history?from=1&step=60")
        self.assertEqual((answer.status, "--history" in answer.error), (404, True), answer.error)

    def test_the_history_of_a_room_is_answered_in_the_steps_that_are_asked_for(self):
        server = self.server("--admin-listen", HERE)
        name = "a/b ü?"
        sock = join(server, [name])
        self.addCleanup(sock.close)
        path = f"/api/rooms/{quote(name, safe='')}/history"
        recent = eventually("its past", lambda: get(server.admin(), path),
                            lambda past: past["points"])
        self.assertEqual((recent["room"], recent["step"]), (name, 5))
        self.assertEqual(recent["points"][-1] | {"at": 0},
                         {"at": 0, "least": 1, "mean": 1.0, "most": 1})
        wide = ask(server.admin(), f"/api/history?room={quote(name)}&step=3600")
        self.assertEqual(wide.status, 404)
        merged = get(server.admin(), f"{path}?step=55")
        self.assertLess(len(merged["points"]), 3)
        everybody = get(server.admin(), "/api/history")
        self.assertNotIn("room", everybody)
        self.assertEqual(everybody["points"][-1]["most"], 1)

    def test_a_feed_tells_all_first_and_then_what_changes(self):
        server = self.server("--admin-listen", HERE)
        first = join(server, ["a", "b"])
        self.addCleanup(first.close)
        feed = self.watch(server.admin())
        one = self.watch(server.admin(), "/api/feed?room=c")
        found = self.watch(server.admin(), "/api/feed?q=B&limit=1")
        feed.until("the rooms", lambda frames: feed.rooms() == {"a": 1, "b": 1})
        self.assertEqual(feed.frames()[0][0], "snapshot")
        second = join(server, ["b", "c"])
        feed.until("who came", lambda frames: feed.rooms() == {"a": 1, "b": 2, "c": 1})
        second.close()
        told = feed.until("who left", lambda frames: feed.rooms() == {"a": 1, "b": 1})
        self.assertEqual((told["totals"]["people"], told["totals"]["rooms"]), (2, 2))
        self.assertTrue(all(event == "change" for event, _ in feed.frames()[1:]))
        # A room that is watched is told though nobody be there, and is not kept for that.
        one.until("an empty room", lambda frames: one.rooms() == {"c": 0} and len(frames) > 1)
        self.assertEqual(told["totals"]["limits"]["rooms"][0], 2)
        found.until("those found", lambda frames: found.rooms() == {"b": 1})
        refused = raw.ask(server.address, raw.request("/events?room="))
        self.assertEqual(refused.status, 400)
        feed.until("a refusal", lambda frames: frames[-1][1]["totals"]["refusals"] == {"room": 1})

    def test_a_node_tells_how_many_people_each_of_the_others_has(self):
        redis = Redis(self)
        args = ("--redis", redis.url, "--admin-listen", HERE)
        here, there = (self.server(*args, "--node", name) for name in ("here", "there"))
        for server, rooms in ((here, ["a"]), (there, ["a", "b"])):
            sock = join(server, rooms)
            self.addCleanup(sock.close)
        feed = self.watch(here.admin())

        def holds(frames):
            cluster = frames[-1][1]["totals"]["cluster"] if frames else {}
            return [node["people"] for node in cluster.get("others", ())] == [2]

        totals = feed.until("the other node", holds)["totals"]
        [other] = totals["cluster"].pop("others")
        own = totals["cluster"].pop("id")
        self.assertEqual(totals["cluster"], {"node": "here", "linked": True, "nodes": 1})
        self.assertEqual((other["people"], other["rooms"], totals["people"]), (2, 2, 3))
        self.assertRegex(other["id"], "^[0-9a-f]{8}$")
        other = self.watch(there.admin()).until("a number", lambda frames: frames)
        self.assertEqual(other["totals"]["cluster"]["others"][0]["id"], own)

    def test_watching_changes_no_count_and_takes_no_place(self):
        server = self.server("--admin-listen", HERE, "--max-streams", 2, "--max-rooms", 1,
                             "--max-rooms-per-ip", 1)
        feeds = [self.watch(server.admin(), f"/api/feed?room=room%20{n}") for n in range(8)]
        for feed in feeds:
            feed.until("a number", lambda frames: frames)
        observer = self.visit(server)
        other = self.visit(server, "the one")
        feeds[0].until("both", lambda frames: frames[-1][1]["totals"]["streams"] == 2)
        for feed in feeds:
            feed.close()
        self.assertEqual((observer.history, other.history, server.count()), ([1], [1], 1))

    def test_no_watcher_is_sent_more_than_20_kb_a_second_whatever_happens(self):
        server = self.server("--admin-listen", HERE, "--max-rooms-per-ip", 9999, quiet=True)
        # Names that are as long as may be, and twice that as JSON.
        names = [123 * "\\" + f"{n:05}" for n in range(1500)]
        self.fill(server, names)
        feeds = [self.watch(server.admin(), f"/api/feed?limit=1000&q={q}") for q in ("", "%5C", "0")]
        start = time.monotonic()
        step = 0
        while time.monotonic() < start + 3:
            # All of them change, again and again.
            at = AT_ONCE * (step % (len(names) // AT_ONCE))
            join(server, names[at : at + AT_ONCE]).close()
            step += 1
            for feed in feeds:
                self.assertTrue(feed.read(0.002))
        seconds = time.monotonic() - start
        for feed in feeds:
            # What is sent at once, at its beginning, is not more than what comes in a second.
            self.assertLess(feed.size, RATE * (seconds + 1))
            self.assertGreater(len(feed.frames()), 0)
            self.assertTrue(feed.frames()[-1][1]["more"])
        # Once it is quiet, the rest comes.
        feed = self.watch(server.admin(), "/api/feed?limit=150")
        told = feed.until("all of it", lambda frames: frames and "more" not in frames[-1][1])
        self.assertEqual(len(feed.rooms()), 150)
        self.assertGreater(len(feed.frames()), 1)
        self.assertEqual(told["found"], len(names))

    def test_feeds_are_few_and_keep_nobody_out(self):
        server = self.server("--admin-listen", HERE, "--max-rooms-per-ip", 9999, quiet=True)
        self.fill(server, [f'{"x" * 120}{n:05}' for n in range(1000)])
        admin = server.admin()
        before = server.fds()
        feeds = []
        for nth in range(FEEDS):
            feed = self.watch(admin, f"/api/feed?limit={1000 - nth}")
            feed.until("a frame", lambda frames, feed=feed: feed.frames())
            feeds.append(feed)
        surplus = ask(admin, "/api/feed")
        self.assertEqual((surplus.status, surplus.headers["retry-after"]), (503, "30"))
        # They are not in the way of others, nor are others in theirs.
        silent = [raw.connect(admin) for _ in range(2 * CONNECTIONS)]
        for sock in silent:
            self.addCleanup(sock.close)
        for path in ("/healthz", "/readyz", "/metrics", "/api/rooms"):
            self.assertEqual(ask(admin, path).status, 200)
        for feed in feeds:
            frames = len(feed.frames())
            feed.until("one more", lambda seen, more=frames, feed=feed: len(seen) > more)
        for sock in silent:
            sock.close()
        # One place is free again as soon as one of them leaves.
        feeds.pop().close()
        eventually("a feed", lambda: self.watch(admin).read(DEADLINE), True)
        for feed in feeds:
            feed.close()
        eventually("its descriptors", server.fds, lambda fds: fds <= before + CONNECTIONS)

    def test_who_shows_the_token_in_the_form_has_a_cookie_that_is_not_it(self):
        server = self.server("--admin-listen", HERE, "--admin-token", TOKEN)
        admin = server.admin()

        def login(token, *headers, host="localhost", path="/login"):
            body = f"token={quote(token)}".encode()
            return ask(admin, path, f"content-length: {len(body)}", *headers, method="POST",
                       host=host, body=body)

        form = ask(admin, "/")
        self.assertEqual((form.status, form.headers["cache-control"]), (401, "no-store"))
        self.assertIn(b'<form method="post" action="login">', form.body)
        self.assertEqual(ask(admin, "/dashboard.css").status, 200)
        for path in ("/dashboard.js", "/api/rooms", "/api/feed", "/login", "/index.html"):
            self.assertEqual(ask(admin, path).status, 401, path)
        wrong = login("not the token at all")
        self.assertEqual((wrong.status, b"That is not the token" in wrong.body), (401, True))
        self.assertNotIn("set-cookie", wrong.headers)
        right = login(TOKEN)
        self.assertEqual((right.status, right.headers["location"]), (303, "./?signed-in"))
        cookie, *attributes = right.headers["set-cookie"].split("; ")
        self.assertEqual(attributes, ["Max-Age=43200", "Path=/", "Secure", "HttpOnly",
                                      "SameSite=Strict"])
        self.assertNotIn(TOKEN, cookie)
        for path in ("/", "/dashboard.js", "/api/rooms", "/metrics"):
            self.assertEqual(ask(admin, path, f"cookie: {cookie}").status, 200, path)
        feed = self.watch(admin, "/api/feed", f"cookie: a=b; {cookie}")
        feed.until("a number", lambda frames: frames)
        self.assertTrue(feed.frames()[0][1]["session"])
        bearer = self.watch(admin, "/api/feed", f"authorization: Bearer {TOKEN}")
        bearer.until("a number", lambda frames: frames)
        for changed in (cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
                        cookie.replace("=", "=9", 1), cookie.partition("=")[0] + f"={TOKEN}"):
            self.assertEqual(ask(admin, "/api/rooms", f"cookie: {changed}").status, 401)
        # A browser that did not keep it is told why it is asked once more.
        self.assertIn(b"did not keep the cookie", ask(admin, "/?signed-in").body)
        # No page of another site signs anybody in or out, or watches.
        for theirs in ("origin: https://evil.example", "origin: null",
                       "sec-fetch-site: cross-site"):
            self.assertEqual(login(TOKEN, theirs).status, 403)
            self.assertEqual(login("", theirs, f"cookie: {cookie}", path="/logout").status, 403)
            self.assertEqual(ask(admin, "/api/feed", theirs, f"cookie: {cookie}").status, 403)
        self.assertEqual(login(TOKEN, "origin: https://a.example", host="a.example").status, 303)
        ended = login("", f"cookie: {cookie}", path="/logout").headers["set-cookie"]
        self.assertIn("=; Max-Age=0; ", ended)
        # Its name is a hash of the token, which nobody else is told.
        self.assertNotIn("set-cookie", login("", path="/logout").headers)

    def test_who_guesses_waits_and_the_operator_comes_in_all_the_same(self):
        server = self.server("--admin-listen", HERE, "--admin-token", TOKEN)
        admin = server.admin()
        guess = raw.request("/login", "content-length: 7", method="POST", host="localhost",
                            body=b"token=x")
        guesses = [raw.connect(admin) for _ in range(CONNECTIONS)]
        for sock in guesses:
            self.addCleanup(sock.close)
            sock.sendall(guess)
        for sock in guesses:
            self.assertEqual(raw.answer_on(sock).status, 401)
        body = f"token={TOKEN}".encode()
        start = time.monotonic()
        login = raw.connect(admin)
        self.addCleanup(login.close)
        login.sendall(raw.request("/login", f"content-length: {len(body)}", method="POST",
                                  host="localhost", body=body))
        # It waits its time, whoever else comes and says nothing.
        for _ in range(2 * CONNECTIONS):
            self.addCleanup(raw.connect(admin).close)
        right = raw.answer_on(login)
        self.assertEqual(right.status, 303)
        self.assertGreater(time.monotonic() - start, 1.0)
        # Who is in already, and who asks with the token itself, waits for nobody.
        cookie = right.headers["set-cookie"].partition(";")[0]
        for shown in (f"cookie: {cookie}", f"authorization: Bearer {TOKEN}"):
            self.assertEqual(ask(admin, "/readyz", shown).status, 200)

    def test_a_feed_ends_with_the_server(self):
        server = self.server("--admin-listen", HERE)
        feed = self.watch(server.admin())
        feed.until("a number", lambda frames: frames)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(DEADLINE), 0)
        end = time.monotonic() + DEADLINE
        try:
            while feed.read(1):
                self.assertLess(time.monotonic(), end)
        except ConnectionResetError:
            pass
