"""Several nodes that count together through Redis: the number is the same on each of them,
and nobody is counted twice, or not at all, whatever becomes of a node or of Redis.

The bounds in docs/cluster.md are those that are tested here.
"""

import contextlib
import datetime
import pathlib
import random
import re
import signal
import subprocess
import time

import proxies
import test_cable
from certificate import certificate
from redis import OLD_REDIS, Redis, RedisCluster, free_port
from server import BINARY, ROOT
from support import FaultTest
from visitor import H2Visitor, Visitor
from waiting import DEADLINE, eventually, measured

#: How long the share of a node counts that is not heard any more.
LEASE = 10.0
#: What a machine that has much to do may add.
SOON = 3.0


class ClusterTest(FaultTest):
    def setUp(self):
        super().setUp()
        self.redis = Redis(self)

    def node(self, *args, redis=None, **options):
        """A node whose numbers are whole once this returns."""
        redis = redis or self.redis.url
        node = self.server("--redis", redis, "--keep-alive", "1s", *args, **options)
        self.is_whole(node)
        return node

    def is_partial(self, *nodes, within=20.0):
        for node in nodes:
            eventually("whether the numbers are partial", lambda: partial(node), True, within)

    def is_whole(self, *nodes, within=20.0):
        for node in nodes:
            eventually("whether the numbers are whole", lambda: partial(node), False, within)

    def nodes(self, number, *args, **options):
        nodes = [self.node(*args, **options) for _ in range(number)]
        for node in nodes:
            others = "headcount_cluster_nodes"
            eventually("the other nodes", lambda: node.metrics()[others], number - 1)
        return nodes

    def all_count(self, nodes, count, room="lobby", within=20.0):
        for node in nodes:
            eventually("the count", lambda: node.count(room), count, within)

    def watch(self, node, room="lobby"):
        """One who is told the numbers and is not counted."""
        return self.visit(node, room, asks={"observe": "1", "tell": "partial"})

    def come_back(self, visitors, nodes, room="lobby"):
        """Has them open their streams anew, one after the other, with their tokens."""
        return [
            self.visit(node, room, visitor.token) for visitor, node in zip(visitors, nodes)
        ]


def partial(node):
    return node.get("/count").json().get("partial", False)


class Together(ClusterTest):
    def test_a_join_and_a_leave_are_told_on_every_node_at_once(self):
        nodes = self.nodes(3)
        watchers = [self.watch(node, "a") for node in nodes]
        delays = []
        for turn in range(30):
            node = nodes[turn % 3]
            others = [watcher for watcher in watchers if watcher is not watchers[turn % 3]]
            start = time.monotonic()
            visitor = Visitor(node, "a")
            for watcher in others:
                watcher.sees(1)
                delays.append(watcher.events[-1].at - start)
            start = time.monotonic()
            visitor.close()
            for watcher in others:
                watcher.sees(0)
                delays.append(watcher.events[-1].at - start)
        measured("a join or leave is told at another node within", max(delays))
        for watcher in watchers:
            expected = [0] + [1, 0] * 30
            watcher.wait("every step", lambda it: len(it.history) == len(expected))
            self.assertEqual(watcher.history, expected)

    def test_every_node_tells_the_whole_number_also_where_nobody_is(self):
        nodes = self.nodes(3)
        for count in (1, 2, 3):
            self.visit(nodes[0], "a")
        self.visit(nodes[1], ["a", "b"])
        self.all_count(nodes, 4, "a")
        self.all_count(nodes, 1, "b")
        badge = nodes[2].get("/badge.svg?room=a").body.decode()
        self.assertIn(">4<", badge)
        self.assertEqual(self.visit(nodes[2], "a").newest, 5)

    def test_counters_with_another_prefix_do_not_meet(self):
        ours = self.node()
        theirs = self.node("--redis-prefix", "other")
        self.visit(ours, "a")
        self.assertEqual(self.visit(theirs, "a").newest, 1)
        self.all_count([ours, theirs], 1, "a")

    def test_nodes_agree_with_the_truth_after_a_storm(self):
        chance = random.Random(7)
        nodes = self.nodes(3)
        rooms = ["a", "b", ["a", "b"]]
        here = []
        for _ in range(400):
            if here and chance.random() < 0.4:
                visitor, room = here.pop(chance.randrange(len(here)))
                visitor.close()
                if chance.random() < 0.5:
                    kind = chance.choice((Visitor, H2Visitor))
                    node = chance.choice(nodes)
                    here.append((self.visit(node, room, visitor.token, kind=kind), room))
            else:
                room = chance.choice(rooms)
                here.append((self.visit(chance.choice(nodes), room), room))
        for room in ("a", "b"):
            self.all_count(nodes, sum(room in rooms for _, rooms in here), room)


class Returns(ClusterTest):
    def test_who_comes_back_to_another_node_moves_no_number(self):
        nodes = self.nodes(3)
        watchers = [self.watch(node, "a") for node in nodes]
        first = self.visit(nodes[0], "a")
        for watcher in watchers:
            watcher.sees(1)
        # Its connection is there still, and nobody has noticed that the client is not.
        second = self.visit(nodes[1], "a", first.token)
        self.assertEqual(second.newest, 1)
        self.assertNotEqual(second.token, first.token)
        first.wait("its end", lambda it: it.ended)
        third = self.visit(nodes[2], "a", second.token)
        second.wait("its end", lambda it: it.ended)
        # And with a token from which they have moved on.
        fourth = self.visit(nodes[0], "a", first.token)
        third.wait("its end", lambda it: it.ended)
        self.assertEqual(fourth.newest, 1)
        for watcher in watchers:
            watcher.pump()
            self.assertEqual(watcher.history, [0, 1])
        fourth.close()
        self.all_count(nodes, 0, "a")

    def test_whoever_comes_to_a_node_at_its_start_has_a_token_that_the_others_know(self):
        nodes = [self.server("--redis", self.redis.url) for _ in range(2)]
        first = self.visit(nodes[0], "a")
        self.assertEqual(self.visit(nodes[1], "a", first.token).newest, 1)
        first.wait("its end", lambda it: it.ended)

    def test_every_room_of_a_stream_moves(self):
        nodes = self.nodes(2)
        watchers = [self.watch(node, ["a", "b"]) for node in nodes]
        first = self.visit(nodes[0], ["a", "b"])
        second = self.visit(nodes[1], ["b", "a"], first.token, kind=H2Visitor)
        self.assertEqual(second.numbers, {"a": 1, "b": 1})
        first.wait("its end", lambda it: it.ended)
        second.close()
        self.all_count(nodes, 0, "a")
        self.all_count(nodes, 0, "b")
        for watcher in watchers:
            watcher.pump()
            self.assertEqual(watcher.history, [0, 0, 1, 1, 0, 0])

    def test_who_comes_back_for_other_rooms_has_left_the_first(self):
        nodes = self.nodes(2)
        first = self.visit(nodes[0], ["a", "b"])
        self.all_count(nodes, 1, "b")
        second = self.visit(nodes[1], ["b", "c"], first.token)
        first.wait("its end", lambda it: it.ended)
        self.all_count(nodes, 0, "a")
        self.all_count(nodes, 1, "b")
        self.all_count(nodes, 1, "c")
        # On one node it is the same seat all the while.
        watcher = self.watch(nodes[0], "b")
        third = self.visit(nodes[1], "b", second.token)
        second.wait("its end", lambda it: it.ended)
        self.all_count(nodes, 0, "c")
        fourth = self.visit(nodes[0], "b", third.token)
        third.wait("its end", lambda it: it.ended)
        fourth.pump()
        watcher.pump()
        self.assertEqual((watcher.history, fourth.history), ([1], [1]))

    def test_a_token_that_no_node_gave_out_moves_nothing(self):
        nodes = self.nodes(2)
        here = [self.visit(nodes[0], "a") for _ in range(3)]
        self.all_count(nodes, 3, "a")
        token = here[0].token
        made_up = [token[:16] + "0" * 16, token[:8] + "00000002" + token[16:], "7" * 32]
        for nth, token in enumerate(made_up):
            self.assertEqual(self.visit(nodes[1], "a", token).newest, 4 + nth)
        self.all_count(nodes, 6, "a")
        nodes[0].signal(signal.SIGKILL)
        nodes[0].wait()
        for nth, token in enumerate(made_up):
            self.assertEqual(self.visit(nodes[1], "a", token).newest, 7 + nth)
        # A genuine one counts nobody out of a room that it was not given out for.
        self.visit(nodes[1], "b")
        self.assertEqual(self.visit(nodes[1], "b", here[0].token).newest, 2)
        self.all_count(nodes[1:], 6, "a", LEASE + SOON)
        self.all_count(nodes[1:], 2, "b")


class Deaths(ClusterTest):
    def test_a_node_that_dies_takes_only_those_with_it_who_do_not_return(self):
        nodes = self.nodes(3)
        people = [self.visit(nodes[0], "a") for _ in range(500)]
        self.all_count(nodes, 500, "a")
        watchers = [self.watch(node, "a") for node in nodes[1:]]
        nodes[0].signal(signal.SIGKILL)
        nodes[0].wait()
        died = time.monotonic()
        stay = people[:450]
        self.come_back(stay, nodes[1:] * len(stay), "a")
        measured("450 people come back within", time.monotonic() - died)
        self.all_count(nodes[1:], 450, "a", LEASE + SOON)
        measured("after kill -9 of a node all is right within", time.monotonic() - died)
        for watcher in watchers:
            watcher.pump()
            # Nobody is counted twice while they return, nor missed.
            self.assertEqual((max(watcher.history), min(watcher.history)), (500, 450))

    def test_who_comes_back_for_other_rooms_is_counted_once_in_those_that_stay(self):
        nodes = self.nodes(2)
        people = [self.visit(nodes[0], ["a", "b", "c"]) for _ in range(20)]
        self.all_count(nodes, 20, "b")
        watcher = self.watch(nodes[1], "b")
        nodes[0].signal(signal.SIGKILL)
        nodes[0].wait()
        for visitor in people:
            self.visit(nodes[1], ["d", "b", "a"], visitor.token)
        self.all_count(nodes[1:], 20, "d")
        self.all_count(nodes[1:], 20, "a")
        # Nobody knows that they have left this one.
        self.assertEqual(nodes[1].count("c"), 20)
        self.all_count(nodes[1:], 0, "c", LEASE + SOON)
        watcher.pump()
        self.assertEqual(set(watcher.history), {20})

    def test_a_rolling_deploy_moves_no_number(self):
        nodes = self.nodes(3)
        people = [(self.visit(nodes[n % 3], "a"), n % 3) for n in range(300)]
        self.all_count(nodes, 300, "a")
        watcher = self.watch(nodes[2], "a")
        history = []
        for turn in range(3):
            old = nodes[turn]
            old.signal(signal.SIGTERM)
            old.wait()
            if turn == 2:
                watcher.pump()
                history += watcher.history
            nodes[turn] = self.node()
            moved = []
            for visitor, at in people:
                if at == turn:
                    at = random.Random(visitor.token).randrange(3)
                    visitor = self.visit(nodes[at], "a", visitor.token)
                moved.append((visitor, at))
            people = moved
            self.all_count(nodes, 300, "a")
        self.assertEqual(set(history[1:]) | {300}, {300}, history)

    def test_behind_nginx_a_stop_of_a_node_moves_no_number(self):
        self.stops_behind(proxies.NGINX_CLUSTER)

    def test_behind_haproxy_a_stop_of_a_node_moves_no_number(self):
        self.stops_behind(proxies.HAPROXY_CLUSTER)

    def stops_behind(self, recipe):
        nodes = self.nodes(3)
        for place, node in enumerate(nodes[1:], 3001):
            recipe.tokens[f"127.0.0.1:{place}"] = f"127.0.0.1:{node.port}"
        proxy = proxies.Proxy(self, recipe, nodes[0])
        people = [self.visit(proxy, "a") for _ in range(30)]
        self.all_count(nodes, 30, "a")
        watcher = self.watch(nodes[0], "a")
        streams = [node.metrics()["headcount_streams"] for node in nodes]
        self.assertGreater(min(streams), 5)
        nodes[2].signal(signal.SIGTERM)
        nodes[2].wait()
        ended = lambda: [visitor for visitor in people if visitor.ended]
        self.until("their ends", lambda: len(ended()) == streams[2])
        for visitor in ended():
            self.visit(proxy, "a", visitor.token)
        self.all_count(nodes[:2], 30, "a")
        watcher.pump()
        self.assertEqual(set(watcher.history), {30}, watcher.history)

    def test_a_node_that_sleeps_is_dropped_and_is_right_when_it_wakes(self):
        nodes = self.nodes(2)
        asleep, awake = nodes
        for node in nodes:
            for _ in range(5):
                self.visit(node, "a")
        watcher, own = self.watch(awake, "a"), self.watch(asleep, "a")
        watcher.sees(10)
        asleep.signal(signal.SIGSTOP)
        slept = time.monotonic()
        watcher.wait("it is dropped", lambda it: it.newest == 5, LEASE + SOON)
        measured("a node that sleeps is dropped after", time.monotonic() - slept)
        self.assertTrue(any(event.partial for event in watcher.events), "it was said before")
        self.visit(awake, "a")
        while time.monotonic() < slept + 15:
            watcher.pump()
            time.sleep(0.05)
        asleep.signal(signal.SIGCONT)
        woke = time.monotonic()
        self.all_count(nodes, 11, "a", 2 + SOON)
        self.is_whole(*nodes)
        measured("a node that wakes is right within", time.monotonic() - woke)
        own.wait("its watcher is told", lambda it: it.newest == 11)

    def test_a_node_that_finds_no_other_one_does_not_know_who_is_on_the_way_back(self):
        def start(settle, *args):
            return self.server("--redis", self.redis.url, *args, env={"HEADCOUNT_SETTLE": settle})

        first = start("1h")
        # It has caught up with all there is by its second word.
        heard = lambda: first.metrics()["headcount_cluster_frames_total"]
        eventually("what it hears", heard, lambda frames: frames >= 2)
        self.assertTrue(partial(first))
        second = start("1h")
        self.is_whole(first, second)
        self.is_whole(start("1s", "--redis-prefix", "other"))

    def test_a_node_that_is_started_again_at_once_counts_nobody_twice(self):
        nodes = self.nodes(2)
        people = [self.visit(nodes[0], "a") for _ in range(20)]
        self.all_count(nodes, 20, "a")
        watcher = self.watch(nodes[1], "a")
        nodes[0].signal(signal.SIGKILL)
        nodes[0].wait()
        again = self.node(listen=f"127.0.0.1:{nodes[0].port}")
        self.come_back(people, [again] * 20, "a")
        self.all_count([again, nodes[1]], 20, "a")
        watcher.pump()
        self.assertEqual(watcher.history, [20])


class RedisLost(ClusterTest):
    def test_whatever_becomes_of_redis_streams_stay_and_all_is_right_soon_after(self):
        def crash(seconds):
            self.redis.kill()
            time.sleep(seconds)
            self.redis.start()

        def stop(seconds):
            self.redis.signal(signal.SIGSTOP)
            time.sleep(seconds)
            self.redis.signal(signal.SIGCONT)

        faults = {
            "kill -9 and back after 1 s": lambda: crash(1),
            "kill -9 and back after 15 s": lambda: crash(15),
            "FLUSHALL": lambda: self.redis.do("FLUSHALL"),
            "CLIENT KILL TYPE pubsub": lambda: self.redis.do("CLIENT", "KILL", "TYPE", "pubsub"),
            "CLIENT KILL TYPE normal": lambda: self.redis.do("CLIENT", "KILL", "TYPE", "normal"),
            "CLIENT PAUSE for 5 s": lambda: (
                self.redis.do("CLIENT", "PAUSE", "5000", "ALL"), time.sleep(5)
            ),
            "SIGSTOP for 5 s": lambda: stop(5),
            "SIGSTOP for 12 s": lambda: stop(12),
        }
        nodes = self.nodes(3)
        people = [self.visit(nodes[n % 3], "a") for n in range(9)]
        for name, fault in faults.items():
            with self.subTest(fault=name):
                self.all_count(nodes, len(people), "a")
                gone = people.pop(0)
                fault()
                back = time.monotonic()
                gone.close()
                people.append(self.visit(nodes[len(people) % 3], "a"))
                people.append(self.visit(nodes[len(people) % 3], "a"))
                self.all_count(nodes, len(people), "a")
                self.is_whole(*nodes)
                measured(f"after {name} all is right within", time.monotonic() - back)
                for visitor in people:
                    visitor.pump()
                    self.assertIsNone(visitor.ended)

    def test_while_redis_is_away_joins_do_not_wait_and_the_number_says_so(self):
        nodes = self.nodes(2)
        here = [self.visit(node, "a", asks={"tell": "partial"}) for node in nodes]
        here[0].sees(2)
        self.redis.kill()
        for visitor in here:
            visitor.wait("it is said", lambda it: it.events[-1].partial)
        start = time.monotonic()
        new = self.visit(nodes[0], "a", asks={"tell": "partial"})
        back = self.visit(nodes[0], "a", here[1].token, asks={"tell": "partial"})
        measured("a join and a return while Redis is away take", time.monotonic() - start)
        for visitor in (new, back):
            self.assertTrue(visitor.events[0].partial)
        # One is new, and one has come back from the other node.
        self.assertEqual(back.newest, 3)
        here[0].wait("the others are given up", lambda it: it.newest == 3, LEASE + SOON)
        self.redis.start()
        self.is_whole(*nodes)
        self.all_count(nodes, 3, "a")
        here[1].wait("its end", lambda it: it.ended)

    def test_a_node_that_is_new_to_an_empty_redis_knows_the_tokens_of_the_others(self):
        old = self.node()
        first = self.visit(old, "a")
        self.redis.kill()
        new = self.server("--redis", self.redis.url, "--keep-alive", "1s")
        # It is the first one that comes, and has given nobody a token yet.
        old.signal(signal.SIGSTOP)
        self.redis.start()
        clients = lambda: len(self.redis.do("CLIENT", "LIST").splitlines())
        eventually("how many ask Redis, with this test", clients, 2)
        old.signal(signal.SIGCONT)
        self.is_whole(old, new)
        self.assertEqual(self.visit(new, "a", first.token).newest, 1)
        first.wait("its end", lambda it: it.ended)

    def test_a_redis_that_is_slow_does_not_fill_the_log(self):
        nodes = self.nodes(2)
        people = [self.visit(nodes[0], "a") for _ in range(20)]
        self.all_count(nodes, 20, "a")
        watcher = self.watch(nodes[1], "a")
        for visitor in people:
            self.redis.do("CLIENT", "PAUSE", "100", "ALL")
            self.visit(nodes[1], "a", visitor.token)
            self.is_whole(nodes[1])
        watcher.wait("the doubt", lambda it: True in [event.partial for event in it.events])
        # One that lasted is said; on a machine with much to do, another one may.
        said = lambda: nodes[1].logged(
            "the numbers are partial: some people at other nodes may be missing"
        )
        self.assertLess(len(said()), 5)
        before = len(said())
        self.redis.kill()
        eventually("what it says", lambda: len(said()), before + 1)

    def test_in_a_redis_cluster_all_is_right_after_a_slot_has_moved_and_after_a_failover(self):
        redis = RedisCluster(self)
        nodes = self.nodes(2, redis=redis.urls)
        here = [self.visit(node, "a") for node in nodes]
        self.all_count(nodes, 2, "a")
        finish = redis.begin_to_move("{headcount}:nodes")
        gone = self.visit(nodes[0], "a")
        here.append(self.visit(nodes[1], "a"))
        # Half-way, Redis refuses what it can't do as a whole.
        self.is_partial(*nodes)
        moved = self.visit(nodes[1], "a", here.pop(0).token)
        gone.close()
        finish()
        over = time.monotonic()
        self.all_count(nodes, 3, "a")
        self.is_whole(*nodes)
        measured("after its slot has moved all is right within", time.monotonic() - over)
        moved.close()
        self.all_count(nodes, 2, "a")
        owner = redis.owner("{headcount}:nodes")
        owner.kill()
        died = time.monotonic()
        here.append(self.visit(nodes[0], "a"))
        eventually("the new owner", lambda: redis.owner("{headcount}:nodes") is not owner, True)
        promoted = time.monotonic()
        measured("a replica is promoted within", promoted - died)
        self.all_count(nodes, 3, "a")
        self.is_whole(*nodes)
        measured("after the promotion all is right within", time.monotonic() - promoted)
        for visitor in here:
            visitor.pump()
            self.assertIsNone(visitor.ended)

    def test_a_storm_of_joins_and_leaves_while_redis_is_away_costs_no_memory(self):
        node = self.node()
        with contextlib.closing(Visitor(node, "a")):
            self.redis.kill()
            def storm():
                for _ in range(300):
                    Visitor(node, "a").close()
            storm()
            eventually("the leaves", lambda: node.count("a"), 1)
            before = node.metrics()["headcount_cluster_backlog"]
            storm()
            eventually("the leaves", lambda: node.count("a"), 1)
            after = node.metrics()["headcount_cluster_backlog"]
            self.assertLess(after, before + 350)


class OldRedis(ClusterTest):
    def test_a_redis_6_2_will_do(self):
        redis = Redis(self, binary=OLD_REDIS)
        self.assertIn("redis_version:6.2.", redis.do("INFO", "server"))
        nodes = self.nodes(3, redis=redis.url)
        people = [self.visit(nodes[n % 3], "a") for n in range(9)]
        self.all_count(nodes, 9, "a")
        watcher = self.watch(nodes[2], "a")
        moved = self.visit(nodes[1], "a", people.pop(0).token)
        nodes[0].signal(signal.SIGKILL)
        nodes[0].wait()
        returned = self.visit(nodes[2], "a", people[2].token)
        self.assertEqual((moved.newest, returned.newest), (9, 9))
        redis.kill()
        redis.start()
        people[0].close()
        self.all_count(nodes[1:], 7, "a", LEASE + SOON)
        self.is_whole(*nodes[1:])
        watcher.pump()
        self.assertEqual((max(watcher.history), min(watcher.history)), (9, 7))


class Clocks(ClusterTest):
    """The wall clock is a library's (libfaketime), which reads it from a file."""

    LIBRARY = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

    def test_the_wall_clock_of_a_node_that_is_set_changes_nothing(self):
        assert self.LIBRARY, "it takes libfaketime (Debian: faketime)"
        clock = self.redis.directory / "clock"
        clock.write_text("+0h\n")
        node = self.node(
            env={
                "LD_PRELOAD": str(self.LIBRARY), "FAKETIME_TIMESTAMP_FILE": str(clock),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1",
            }
        )
        nodes = [node, self.node()]
        people = [self.visit(node, "a") for node in nodes]
        self.all_count(nodes, 2, "a")
        watchers = [self.watch(node, "a") for node in nodes]
        for turn, hours in enumerate((1, -1, 0), 1):
            clock.write_text(f"{hours:+d}h\n")
            self.visit(node, "b").close()
            self.all_count(nodes, 0, "b")
            lines = eventually(
                "the log", lambda: node.logged("user connected", room="b"), lambda it: len(it) == turn
            )
            logged = datetime.datetime.fromisoformat(lines[-1]["timestamp"])
            drift = (logged - datetime.datetime.now(datetime.UTC)).total_seconds()
            self.assertAlmostEqual(drift, hours * 3600, delta=60)
            # For longer than any lease is in doubt.
            until = time.monotonic() + 5
            self.until("some beats", lambda: time.monotonic() > until)
        back = self.visit(nodes[1], "a", people[0].token)
        self.assertEqual(back.newest, 2)
        for watcher in watchers:
            watcher.pump()
            self.assertEqual(watcher.history, [2] * len(watcher.history))
            self.assertFalse([event for event in watcher.events if event.partial])


class Guarded(ClusterTest):
    def test_the_rights_in_the_docs_are_enough_and_no_more_than_that(self):
        page = (ROOT / "docs" / "cluster.md").read_text()
        rules = re.search(r"^ *ACL SETUSER (.+)$", page, re.MULTILINE)[1].split()
        self.redis.do("ACL", "SETUSER", *rules)
        user, password = rules[0], next(rule[1:] for rule in rules if rule[0] == ">")
        url = f"redis://{user}:{password}@127.0.0.1:{self.redis.port}"
        nodes = self.nodes(2, redis=url)
        first = self.visit(nodes[0], "a")
        self.all_count(nodes, 1, "a")
        self.visit(nodes[1], "a", first.token)
        self.visit(nodes[1], "a").close()
        self.all_count(nodes, 1, "a")
        self.redis.do("FLUSHALL")
        self.visit(nodes[0], "a")
        self.all_count(nodes, 2, "a")
        self.is_whole(*nodes)
        for node in nodes:
            self.assertEqual(node.metrics()["headcount_cluster_failures_total"], 0)
        scripts = "".join(path.read_text() for path in (ROOT / "src" / "cluster").glob("*.lua"))
        called = {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", scripts)}
        called |= {"get", "set", "subscribe", "evalsha", "script|load", "pttl", "zrange"}
        self.assertEqual({rule[1:] for rule in rules if rule[0] == "+"}, called)

    def test_a_password_that_is_wrong_is_said_and_one_that_changes_does_no_harm(self):
        self.redis.do("CONFIG", "SET", "requirepass", "first")
        self.redis.password = "first"
        secret = self.redis.directory / "password"
        secret.write_text("wrong\n")
        wrong = self.server("--redis", self.redis.url, "--redis-password-file", secret)
        [line] = eventually("what it says", lambda: wrong.logged("cannot reach Redis"), len)
        self.assertIn("WRONGPASS", line["error"])
        self.assertEqual(self.visit(wrong, "a").newest, 1)

        secret.write_text("first\n")
        node = self.node("--redis-password-file", secret)
        visitor = self.visit(node, "a", asks={"tell": "partial"})
        self.redis.do("CONFIG", "SET", "requirepass", "second")
        self.redis.password = "second"
        self.redis.do("CLIENT", "KILL", "TYPE", "normal")
        self.redis.do("CLIENT", "KILL", "TYPE", "pubsub")
        visitor.wait("it is said", lambda it: it.events[-1].partial)
        self.redis.do("CONFIG", "SET", "requirepass", "first")
        self.redis.password = "first"
        self.is_whole(node)
        log = "\n".join(wrong.lines + node.lines)
        for password in ("wrong", "first", "second"):
            self.assertNotIn(f"{password}@", log)

    def test_redis_is_reached_over_tls_and_only_if_its_certificate_is_good(self):
        directory = self.redis.directory
        # Not one that signs others: rustls takes those for no server's own.
        leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
        (good, key), (other, _) = (
            certificate(directory, name, more=leaf) for name in ("good", "other")
        )
        port = free_port()
        Redis(
            self, "--tls-port", port, "--tls-cert-file", good, "--tls-key-file", key,
            "--tls-auth-clients", "no",
        )
        url = f"rediss://127.0.0.1:{port}"
        nodes = [self.node("--redis-ca", good, redis=url) for _ in range(2)]
        self.visit(nodes[0], "a")
        self.all_count(nodes, 1, "a")
        for ca in (["--redis-ca", other], []):
            node = self.server("--redis", url, *ca)
            eventually("what it says", lambda: node.logged("cannot reach Redis"), len)
            self.assertTrue(partial(node))

    def test_what_can_not_be_used_is_said_and_nothing_is_started(self):
        for args, expected in (
            (["--redis", "http://127.0.0.1"], "expected redis://HOST:PORT"),
            (["--redis", "redis://:secret@127.0.0.1:port"], "expected redis://HOST:PORT"),
            (["--redis", self.redis.url, "--redis-prefix", "{a}"], "without braces"),
            (["--redis", self.redis.url, "--redis-ca", "/nowhere"], "cannot read /nowhere"),
            (["--redis", self.redis.url, "--seats", "/nowhere"], "cannot be used with"),
            (["--redis-ca", "/nowhere"], "--redis <URL>"),
        ):
            command = [BINARY, "--listen", "127.0.0.1:0", *args]
            failed = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
            self.assertNotEqual(failed.returncode, 0)
            self.assertIn(expected, failed.stderr)
            self.assertNotIn("secret", failed.stderr)

    def test_a_redis_without_memory_costs_nothing_but_the_whole_number(self):
        nodes = self.nodes(2)
        here = [self.visit(node, "a") for node in nodes]
        self.all_count(nodes, 2, "a")
        self.redis.do("CONFIG", "SET", "maxmemory", "1")
        self.is_partial(*nodes)
        self.visit(nodes[0], "a")
        self.redis.do("CONFIG", "SET", "maxmemory", "0")
        back = time.monotonic()
        self.all_count(nodes, 3, "a")
        self.is_whole(*nodes)
        measured("after Redis has memory again all is right within", time.monotonic() - back)
        for visitor in here:
            visitor.pump()
            self.assertIsNone(visitor.ended)


class Cut(ClusterTest):
    setUpClass = test_cable.CableTest.setUpClass

    def setUp(self):
        FaultTest.setUp(self)
        self.here, self.there = test_cable.Namespace(), test_cable.Namespace()
        self.addCleanup(self.here.close)
        self.addCleanup(self.there.close)
        self.cable = test_cable.Cable(1, self.here, self.there)
        self.redis = Redis(self, "--protected-mode", "no", bind="10.77.1.1", namespace=self.here)

    def test_a_node_whose_cable_is_cut_says_so_and_is_right_soon_after(self):
        near, far = (self.node(namespace=end) for end in (self.here, self.there))
        with self.here.entered():
            one = self.visit(near, "a", asks={"tell": "partial"})
        with self.there.entered():
            other = self.visit(far, "a", asks={"tell": "partial"})
        self.all_count([near, far], 2, "a")
        self.cable.pull()
        cut = time.monotonic()
        other.wait("it is said", lambda it: it.events[-1].partial)
        measured("a node that is cut off says so within", time.monotonic() - cut)
        one.wait("it is said", lambda it: it.events[-1].partial)
        one.wait("the other node is dropped", lambda it: it.newest == 1, LEASE + SOON)
        self.cable.plug_in()
        back = time.monotonic()
        self.all_count([near, far], 2, "a")
        self.is_whole(near, far)
        measured("after the cable is back all is right within", time.monotonic() - back)
