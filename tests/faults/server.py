"""A server as a process: what can be seen of it from outside, its answers, its log,
its metrics, its memory. It is `HEADCOUNT_BIN`, or `target/debug/headcount`; where the
debug build would say nothing, `target/release/headcount`.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
from dataclasses import dataclass
from urllib.parse import quote

from waiting import DEADLINE, eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("HEADCOUNT_BIN") or str(ROOT / "target" / "debug" / "headcount")
#: What people run: the allocator's work is another there (test_memory.py).
RELEASE = str(ROOT / "target" / "release" / "headcount")


@dataclass
class Answer:
    """The whole answer to a request that is no stream."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)


class Server:
    """A process of the server under test, which listens once this returns.

    `quiet` keeps the two lines of each stream out of the log. `namespace` has a
    context `entered()` in which the server is started and asked (test_cable.py).
    `under` is a command that runs the binary in its own process (test_cost.py). `fds` are
    file descriptors that it inherits.
    `log_format` is one in which `logged` finds nothing unless it is `json`.
    """

    def __init__(
        self, *args, listen="127.0.0.1:0", quiet=False, env=None, namespace=None, under=(),
        binary=None, log_format="json", fds=(),
    ):
        self._entered = namespace.entered if namespace else contextlib.nullcontext
        # The developer's own settings are not the test's.
        settings = {k: v for k, v in os.environ.items() if not k.startswith("HEADCOUNT_")}
        # Nobody was here before: its numbers are whole from the first one on.
        settings["HEADCOUNT_SETTLE"] = "0s"
        settings["RUST_LOG"] = "headcount=info,headcount::room=warn" if quiet else "info"
        with self._entered():
            self.process = subprocess.Popen(
                [
                    *under, binary or BINARY, "--listen", listen, "--log-format", log_format,
                    *map(str, args),
                ],
                env=settings | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=fds,
            )
        self.pid = self.process.pid
        self.lines = []
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.host, self.port = self._listens()

    def _read_log(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def _listens(self):
        def told():
            # Asked before the log is searched: what it said last is to be found.
            ended = self.process.poll() is not None
            lines = "\n".join(list(self.lines))
            found = re.search(r"listening on https?://(\S+?):(\d+)\b", lines)
            return found.groups() if found else ended and "nothing: it ended"

        try:
            host, port = eventually(
                "what the server says at its start", told, lambda seen: len(seen or "") == 2
            )
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; it said: {self.lines}") from None
        return host.strip("[]"), int(port)

    @property
    def address(self):
        return ("127.0.0.1" if self.host == "0.0.0.0" else self.host, self.port)

    def get(self, path, method="GET", headers=(), body=None):
        """The answer to a request of its own connection."""
        with self._entered():
            connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE)
            with contextlib.closing(connection):
                connection.request(method, path, body, dict(headers))
                response = connection.getresponse()
                return Answer(response.status, response.headers, response.read())

    def admin(self):
        """Where it answers the operator: an address, or the path of a Unix socket."""
        message = "listening for the operator on "
        said = eventually(
            "where it answers the operator",
            lambda: [line for line in self.lines if message in line],
            lambda lines: lines,
        )
        where = re.search(message + r"(?:http://(\S+?):(\d+)|unix:([^\s\"]+))", said[0])
        return where[3] or (where[1].strip("[]"), int(where[2]))

    def count(self, room="lobby"):
        answer = self.get(f"/count?room={quote(room, safe='')}")
        assert answer.status == 200, answer
        return answer.json()["count"]

    def metrics(self):
        """Each sample of /metrics by its name with its labels, as it is written."""
        answer = self.get("/metrics")
        assert answer.status == 200, f"/metrics is answered with {answer.status}"
        samples = {}
        for line in answer.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def logged(self, message, **fields):
        """The lines of the log with this message and these fields."""
        found = []
        for line in list(self.lines):
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("message") == message and fields.items() <= entry.items():
                    found.append(entry)
        return found

    def visits(self):
        """What the log says of visitors, in lines and in sums: how many connected,
        how many returned, and how many were disconnected for which reason."""
        found = collections.Counter(
            connected=len(self.logged("user connected")),
            returned=len(self.logged("user returned")),
        )
        found.update(line["reason"] for line in self.logged("user disconnected"))
        for line in self.logged("more users came and went"):
            del line["timestamp"], line["level"], line["message"]
            found.update({what.replace("_", " "): number for what, number in line.items()})
        return +found

    def rss(self):
        """Its resident memory, in bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def fds(self):
        """How many file descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, within=DEADLINE):
        """Waits for its end; the exit code."""
        return self.process.wait(within)

    def stop(self):
        """Ends it at once, if it has not ended."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        self.process.stderr.close()
