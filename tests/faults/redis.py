"""A Redis of the test's own: the real `redis-server`, and what can be done to it."""

import contextlib
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from waiting import DEADLINE, eventually


def is_free(port):
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.bind(("127.0.0.1", port))
        return True


def free_port(*more):
    """A port that nobody has just now, nor those that are so much higher. Redis can't take
    a socket over, and what the system gives out at random is not to be in its way."""
    for _ in range(1000):
        port = random.randrange(15_000, 22_000)
        if all(is_free(port + above) for above in (0, *more)):
            return port
    raise AssertionError("no port is free")


#: The oldest Redis that will do; the one on the path is Debian's, which is newer.
OLD_REDIS = pathlib.Path(sys.prefix) / "bin/redis-server"


class Failed(Exception):
    """What Redis says is wrong."""


class Redis:
    """A `redis-server` that keeps nothing on the disk, and answers once this returns."""

    def __init__(
        self, test, *args, binary="redis-server", port=None, password=None, bind="127.0.0.1",
        namespace=None,
    ):
        self.port = port or free_port()
        self.password = password
        self.host = bind
        self._entered = namespace.entered if namespace else contextlib.nullcontext
        directory = tempfile.TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.command = [
            shutil.which(binary), "--port", str(self.port), "--bind", bind,
            "--save", "", "--dir", directory.name, *map(str, args),
        ]
        self.process = None
        test.addCleanup(self.stop)
        self.start()

    @property
    def url(self):
        return f"redis://{self.host}:{self.port}"

    def start(self):
        with open(self.directory / "log", "ab") as log, self._entered():
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        eventually("whether Redis answers", self._answers, True)

    def _answers(self):
        with contextlib.suppress(OSError, Failed):
            return self.do("PING") == "PONG"

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """As a crash does."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()

    def do(self, *words):
        """Has Redis do something, and gives its answer: text, a number or a list."""
        with self._entered():
            sock = socket.create_connection((self.host, self.port), timeout=DEADLINE)
        with sock, sock.makefile("rb") as file:
            if self.password:
                ask(sock, file, "AUTH", self.password)
            return ask(sock, file, *words)

    def roles(self):
        """What it says of its primary or its replicas."""
        return self.do("INFO", "replication")

    def info(self):
        """What it says of its cluster."""
        return dict(line.split(":", 1) for line in self.do("CLUSTER", "INFO").split())


class RedisCluster:
    """Three primaries and their replicas, all on this machine."""

    #: After so long without an answer a primary is taken for dead.
    NODE_TIMEOUT = 2.0

    def __init__(self, test):
        settings = (
            "--cluster-enabled", "yes", "--cluster-node-timeout", int(self.NODE_TIMEOUT * 1000),
            "--repl-diskless-sync-delay", "0",
        )
        # The port on which they talk to each other is 10,000 higher.
        ports = [free_port(10_000) for _ in range(6)]
        self.servers = [Redis(test, *settings, port=port) for port in ports]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1"]
        subprocess.run([*create, "--cluster-yes"], check=True, timeout=60, capture_output=True)
        for server in self.servers:
            eventually("the cluster's state", lambda: server.info()["cluster_state"], "ok", 60.0)
        for replica in self.servers[3:]:
            # One that has nothing yet is promoted by nobody.
            eventually("its primary's data", lambda: "link_status:up" in replica.roles(), True, 60.0)

    @property
    def urls(self):
        return ",".join(server.url for server in self.servers[:2])

    def owner(self, key):
        """The primary that has a key, and its process."""
        slot = self.running().do("CLUSTER", "KEYSLOT", key)
        for first, last, primary, *_ in self.running().do("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == primary[1])
        raise AssertionError(f"nobody has {slot}")

    def begin_to_move(self, key):
        """Begins to move a key's slot to another primary. The answer ends that."""
        slot, source = self.servers[0].do("CLUSTER", "KEYSLOT", key), self.owner(key)
        target = next(server for server in self.servers[:3] if server is not source)
        names = {server: server.do("CLUSTER", "MYID") for server in (source, target)}
        target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])

        def move():
            while keys := source.do("CLUSTER", "GETKEYSINSLOT", slot, 100):
                to = (target.host, target.port, "", 0, 5000)
                source.do("MIGRATE", *to, "REPLACE", "KEYS", *keys)
            for server in (target, source):
                server.do("CLUSTER", "SETSLOT", slot, "NODE", names[target])

        return move

    def running(self):
        return next(server for server in self.servers if server.process.poll() is None)


def ask(sock, file, *words):
    """A command and its answer (https://redis.io/docs/latest/develop/reference/protocol-spec)."""
    words = [str(word).encode() for word in words]
    packed = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    sock.sendall(b"*%d\r\n%s" % (len(words), packed))
    return answer(file)


def answer(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("Redis has hung up")
    kind, rest = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise Failed(rest)
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == "-1" else file.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == b"*":
        return [answer(file) for _ in range(int(rest))]
    return rest
