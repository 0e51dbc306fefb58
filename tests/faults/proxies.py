"""Real proxies, each started with a file of docs/deploy as it is, but for these
tokens: where it listens, where Headcount is, where the certificate is, and how long a
stream may be silent. A token that a file should have and hasn't is an error.

nginx's file is one site's, so it is included where Debian's nginx.conf includes it.
"""

import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from dataclasses import dataclass

import raw
from certificate import certificate
from http2 import Http2
from server import ROOT
from stream import Stream
from visitor import Visitor, readable
from waiting import eventually

DEPLOY = ROOT / "docs" / "deploy"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where Debian has them
HOST = "count.example.org"
IDLE_LIMIT = 3  # seconds, in place of a minute

# nginx wants its directories told, or it takes those of the system. What is on here
# is on in Debian's file.
NGINX = """
daemon off;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 768; }}
http {{
  sendfile on;
  tcp_nopush on;
  gzip on;
  access_log off;
  client_body_temp_path tmp;
  proxy_temp_path tmp;
  fastcgi_temp_path tmp;
  uwsgi_temp_path tmp;
  scgi_temp_path tmp;
  include {site};
}}
"""


@dataclass
class Recipe:
    """A file of docs/deploy and how it is run."""

    file: str
    #: The tokens beside that of Headcount's address.
    tokens: dict
    #: What is added to Headcount's address.
    more: str = ""

    def __str__(self):
        return self.file + self.more

    @property
    def is_tls(self):
        return "tls" in self.file

    @property
    def kind(self):
        return self.file.lower().split(".")[0].split("-")[0].removesuffix("file")


NGINX_IDLE = {"proxy_read_timeout 60s": f"proxy_read_timeout {IDLE_LIMIT}s"}
HAPROXY_IDLE = {
    "timeout client 60s": f"timeout client {IDLE_LIMIT}s",
    "timeout server 60s": f"timeout server {IDLE_LIMIT}s",
}
CERTIFICATE = {"/etc/ssl/count.example.org.pem": "{certificate}"}
RECIPES = (
    Recipe("nginx.conf", {"listen 80;": "listen 127.0.0.1:{port};"} | NGINX_IDLE),
    Recipe(
        "nginx-tls.conf",
        {"listen 443 ": "listen 127.0.0.1:{port} "} | NGINX_IDLE | CERTIFICATE,
    ),
    Recipe("haproxy.cfg", {"bind :80": "bind fd@{fd}"} | HAPROXY_IDLE),
    Recipe("haproxy-tls.cfg", {"bind :443 ": "bind fd@{fd} "} | HAPROXY_IDLE | CERTIFICATE),
    # Caddy lets a stream be silent for ever.
    Recipe("Caddyfile", {"http_port 80": "http_port {port}"}),
    Recipe(
        "Caddyfile-tls",
        {"http_port 80": "http_port {other}", "https_port 443": "https_port {port}"}
        | CERTIFICATE,
    ),
    # HTTP/2 behind the proxy too.
    Recipe("haproxy.cfg", {"bind :80": "bind fd@{fd}"} | HAPROXY_IDLE, " proto h2"),
)


#: Those for three nodes. Where the second and the third are is the test's to say.
NGINX_CLUSTER = Recipe(
    "nginx-cluster.conf", {"listen 80;": "listen 127.0.0.1:{port};"} | NGINX_IDLE
)
HAPROXY_CLUSTER = Recipe("haproxy-cluster.cfg", {"bind :80": "bind fd@{fd}"} | HAPROXY_IDLE)


def reserved(host):
    """A port that nobody else is given while the socket is open. Caddy, which takes
    no socket over, can listen there beside it; but on all addresses or none, so the
    port has to be free on all of them."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, 0))
    return sock


class Proxy:
    """A proxy that listens, before a server, and ends with the test."""

    def __init__(self, test, recipe, server):
        self.recipe = recipe
        directory = tempfile.TemporaryDirectory()
        test.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)  # nginx's worker is another user
        made = certificate(self.directory, HOST, names=[f"DNS:{HOST}"])
        pem = self.directory / "count.pem"
        made[0].rename(pem)
        made[1].rename(f"{pem}.key")
        self.context = ssl.create_default_context(cafile=pem) if recipe.is_tls else None
        start = getattr(self, "_" + recipe.kind)
        host = "0.0.0.0" if recipe.kind == "caddy" else "127.0.0.1"
        with reserved(host) as port, reserved(host) as other:
            if recipe.kind != "caddy":
                port.listen(64)
            self.host, self.port = "127.0.0.1", port.getsockname()[1]
            self.address = self.host, self.port
            text = (DEPLOY / recipe.file).read_text()
            upstream = f"127.0.0.1:{server.port}"
            tokens = {"127.0.0.1:3000": upstream + recipe.more} | recipe.tokens
            for token, value in tokens.items():
                assert token in text, f"{recipe.file} has no «{token}»"
                value = value.format(
                    port=self.port, fd=port.fileno(), certificate=pem,
                    other=other.getsockname()[1],
                )
                text = text.replace(token, value)
            file = self.directory / recipe.file
            file.write_text(text)
            command, environment = start(file, port.fileno())
            with (self.directory / "stderr").open("w") as stderr:
                self.process = subprocess.Popen(
                    [shutil.which(command[0], path=PATH), *command[1:]],
                    cwd=self.directory,
                    env=environment,
                    pass_fds=[port.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                )
            test.addCleanup(self.stop)
            eventually(f"{recipe}", self._is_up, True)

    def _is_up(self):
        try:
            return self.ask("/readyz").status == 200
        except (AssertionError, OSError):
            if self.process.poll() is not None:
                said = (self.directory / "stderr").read_text()
                raise AssertionError(f"{self.recipe} ended: {said}") from None
            return False

    def _nginx(self, file, fd):
        main = self.directory / "main.conf"
        main.write_text(NGINX.format(site=file))
        return ["nginx", "-e", "stderr", "-p", ".", "-c", main], {"NGINX": f"{fd};"}

    def _haproxy(self, file, fd):
        return ["haproxy", "-db", "-q", "-f", file], {}

    def _caddy(self, file, fd):
        # Its own place for what it keeps, and for what it is told while it runs.
        home = {"HOME": str(self.directory), "CADDY_ADMIN": f"unix/{self.directory}/admin"}
        return ["caddy", "run", "--config", file, "--adapter", "caddyfile"], home

    def stop(self):
        self.process.send_signal(signal.SIGTERM)  # nginx ends its worker with it
        self.process.wait(10)

    def connect(self, *protocols, source=None):
        """A connection, over TLS if that is what it speaks."""
        sock = raw.connect(self.address, source)
        if not self.context:
            return sock
        self.context.set_alpn_protocols(protocols or ["http/1.1"])
        return self.context.wrap_socket(sock, server_hostname=HOST)

    def ask(self, path, *headers, source=None):
        with self.connect(source=source) as sock:
            return raw.ask_on(sock, raw.request(path, *headers, host=HOST))

    def http2(self):
        """A connection over HTTP/2, which the proxy has to choose."""
        sock = self.connect("h2", "http/1.1")
        assert sock.selected_alpn_protocol() == "h2", f"{self.recipe} speaks no HTTP/2"
        client = Http2(self.address, scheme="https", sock=sock)
        client.authority = HOST
        return client


class Through(Visitor):
    """A stream over HTTP/1.1 through a proxy."""

    def __init__(self, proxy, room=None, token=None, **options):
        self._proxy = proxy
        super().__init__(proxy, request=raw.request("/events", host=HOST), **options)

    def send(self, data):
        if self._proxy.context and not isinstance(self.socket, ssl.SSLSocket):
            self._proxy.context.set_alpn_protocols(["http/1.1"])
            self.socket = self._proxy.context.wrap_socket(self.socket, server_hostname=HOST)
        super().send(data)


class Tab(Stream):
    """One of the streams of a connection over HTTP/2."""

    def __init__(self, connection):
        super().__init__()
        self.connection = connection
        self._answer = connection.ask("/events")
        self._fed = 0

    def _read(self, within):
        if readable(self.connection.sock, within):
            self.connection.hear(within or 0.01)  # over TLS, 0 is no time at all
        body, self._fed = self._answer.body[self._fed :], len(self._answer.body)
        assert self._answer.status in (None, 200), f"refused: {self._answer}"
        self._events.feed(body)

    def close(self):
        """RST_STREAM: the tab alone is closed."""
        self.connection.reset(self._answer)
        self.ended = self.ended or "left"
