"""The image of `make image`, started by podman in a network of its own, with a DNS server and a
Redis in it; and the compose file, as far as it can be tried without nginx's image.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).parents[1]
IMAGE = ROOT / "target" / "image" / "headcount.tar"
CONTAINER = ROOT / "packaging" / "container"
DEADLINE = 30.0
#: As compose.yaml has it, and such that it runs where the limits can't be raised and
#: no systemd is there for the timer of the health check.
HARDENED = [
    "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host",
    "--ulimit=nofile=20000:20000", "--ulimit=nproc=1000:1000", "--health-interval=disable",
]


def eventually(what, probe, fits):
    until = time.monotonic() + DEADLINE
    while not fits(seen := probe()):
        if time.monotonic() > until:
            raise AssertionError(f"{what} is {seen!r}")
        time.sleep(0.05)
    return seen


class Dns:
    """Answers every question for the address of a name with 127.0.0.1, and no other."""

    def __init__(self, test):
        self.asked = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        test.addCleanup(self.socket.close)
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                question, peer = self.socket.recvfrom(512)
                # RFC 1035, section 4.1: the name, up to the empty label, and its type.
                end = question.index(0, 12)
                (kind,) = struct.unpack("!H", question[end + 1 : end + 3])
                self.asked.append(question[13:end].decode("latin-1"))
                answers = [b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"] if kind == 1 else []
                head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0)
                self.socket.sendto(head + question[12 : end + 5] + b"".join(answers), peer)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.podman_at = [
            "podman", "--storage-driver=vfs", f"--root={directory.name}/storage",
            f"--runroot={directory.name}/run", "--runtime=runc", "--cgroup-manager=cgroupfs",
        ]
        cls.name = re.search(r"\S+$", cls.podman("load", "--quiet", "--input", IMAGE))[0]

    @classmethod
    def podman(cls, *args, check=True):
        done = subprocess.run(
            [*cls.podman_at, *map(str, args)], capture_output=True, text=True, timeout=120
        )
        if check and done.returncode:
            raise AssertionError(f"podman {args}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip() if check else done

    def start(self, *options, args=()):
        container = self.podman("run", "--detach", *HARDENED, *options, self.name, *args)
        self.addCleanup(self.podman, "rm", "--force", "--time=0", "--volumes", container)
        return container

    def log(self, container):
        done = self.podman("logs", container, check=False)
        return done.stdout + done.stderr

    def listens(self, container):
        eventually("the log", lambda: self.log(container), lambda log: "listening on" in log)

    def get(self, path, port=3000):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE) as answer:
            return answer.read().decode()

    def test_nothing_but_the_server_and_certificates_is_in_it(self):
        files, layers = set(), 0
        with tarfile.open(IMAGE) as image:
            manifest = json.load(image.extractfile("manifest.json"))[0]
            config = json.load(image.extractfile(manifest["Config"]))["config"]
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=image.extractfile(layer)) as tar:
                    files |= {member.name for member in tar if not member.isdir()}
                layers += 1
        self.assertEqual(files, {"headcount", "etc/ssl/certs/ca-certificates.crt"})
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(config["Entrypoint"], ["/headcount"])
        self.assertEqual(config["Healthcheck"]["Test"], ["CMD", "/headcount", "health"])
        print(f"measured: {IMAGE.stat().st_size / 1e6:.1f} MB, of which the server "
              f"{(IMAGE.parent / 'headcount').stat().st_size / 1e6:.1f} MB", flush=True)

    def test_it_serves_is_healthy_and_stops_when_it_is_told(self):
        container = self.start()
        self.listens(container)
        self.assertIn("count", self.get("/count"))
        with self.assertRaises(urllib.error.HTTPError):
            self.get("/metrics")
        self.assertIn("headcount_build_info", self.get("/metrics", 3001))
        self.assertEqual(self.podman("healthcheck", "run", container), "")
        [process] = self.podman("inspect", "--format", "{{.State.Pid}}", container).split()
        status = pathlib.Path(f"/proc/{process}/status").read_text()
        self.assertIn("Uid:\t65532\t65532\t65532\t65532\n", status)
        self.assertIn("CapEff:\t0000000000000000\n", status)
        self.assertNotIn("WARN", self.log(container))
        # There is nothing else to run.
        self.assertNotEqual(self.podman("exec", container, "/bin/sh", check=False).returncode, 0)
        self.podman("stop", "--time=15", container)
        self.assertEqual(self.podman("inspect", "--format", "{{.State.ExitCode}}", container), "0")
        self.assertIn("stopped", self.log(container))

    def test_it_is_unhealthy_while_nobody_answers(self):
        container = self.start()
        self.listens(container)
        process = int(self.podman("inspect", "--format", "{{.State.Pid}}", container))
        os.kill(process, signal.SIGSTOP)
        self.addCleanup(os.kill, process, signal.SIGCONT)
        self.assertEqual(self.podman("healthcheck", "run", container, check=False).returncode, 1)

    def test_its_volume_is_its_own_and_outlives_the_container(self):
        volume = self.podman("volume", "create")
        self.addCleanup(self.podman, "volume", "rm", "--force", volume)
        mounted = ["--volume", f"{volume}:/var/lib/headcount"]
        seats = ["--env", "HEADCOUNT_SEATS=/var/lib/headcount/seats"]
        first = self.start(*mounted, *seats)
        self.listens(first)
        self.assertNotIn("no seats are kept", self.log(first))
        stream = socket.create_connection(("127.0.0.1", 3000), DEADLINE)
        self.addCleanup(stream.close)
        stream.sendall(b"GET /events?room=a HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually("the count", lambda: self.get("/count?room=a"), lambda it: '"count":1' in it)
        self.podman("rm", "--force", "--time=15", first)
        second = self.start(*mounted, *seats)
        self.listens(second)
        self.assertIn('"count":1', self.get("/count?room=a"))

    def test_it_finds_redis_by_its_name_and_knows_the_authorities_of_tls(self):
        dns = Dns(self)
        redis = subprocess.Popen(
            [shutil.which("redis-server"), "--port", "6379", "--save", "", "--bind", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(redis.wait)
        self.addCleanup(redis.kill)
        resolver = ["--dns=127.0.0.1", "--dns-search=."]
        url = "HEADCOUNT_REDIS=redis://redis.test:6379"
        container = self.start(*resolver, "--env", url)
        self.listens(container)
        linked = "headcount_cluster_linked 1"
        eventually("/metrics", lambda: self.get("/metrics", 3001), lambda it: linked in it)
        self.assertIn("redis\x04test", dns.asked)
        self.podman("stop", "--time=15", container)

        # Nobody whom it knows has signed for this one.
        with tempfile.TemporaryDirectory() as made:
            pem = f"{made}/pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj",
                 "/CN=redis.test", "-addext", "subjectAltName=DNS:redis.test", "-addext",
                 "basicConstraints=critical,CA:FALSE", "-keyout", pem,
                 "-out", f"{pem}.cert"], check=True, capture_output=True, timeout=DEADLINE,
            )
            tls = subprocess.Popen(
                ["openssl", "s_server", "-port", "6390", "-key", pem, "-cert", f"{pem}.cert",
                 "-quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            self.addCleanup(tls.wait)
            self.addCleanup(tls.kill)
            url = "HEADCOUNT_REDIS=rediss://redis.test:6390"
            container = self.start(*resolver, "--env", url)
            eventually(
                "the log", lambda: self.log(container), lambda log: "UnknownIssuer" in log
            )


class Compose(unittest.TestCase):
    def test_the_compose_file_is_one_and_says_of_the_image_what_is_true(self):
        config = subprocess.run(
            ["docker-compose", "--file", CONTAINER / "compose.yaml", "config"],
            capture_output=True, text=True, timeout=DEADLINE, check=True,
        )
        self.assertIn("nginx:stable", config.stdout)
        cargo = (ROOT / "Cargo.toml").read_text()
        version = re.search(r'\[workspace\.package\]\nversion = "(.+)"', cargo)[1]
        self.assertIn(f"image: headcount:{version}\n", config.stdout)

    def test_nginx_understands_its_settings(self):
        with tempfile.TemporaryDirectory() as directory:
            settings = pathlib.Path(directory) / "nginx.conf"
            settings.write_text(
                f"pid {directory}/pid; error_log stderr; events {{}}\n"
                f"http {{ access_log off; include {CONTAINER}/nginx.conf; }}\n"
            )
            done = subprocess.run(
                ["nginx", "-t", "-c", settings], capture_output=True, text=True, timeout=DEADLINE
            )
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
