"""An HTTP/2 client that does as a test tells it: python's `h2` over one socket.

Nothing happens behind the test's back. Frames are written when a method says
so, and the server is only heard (and its PINGs answered) inside `until` and `hear`; a
client that isn't asked for anything is a deaf one.
"""

import socket
import time
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes, Settings

from raw import error

PATIENCE = 5.0  # seconds
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass
class Answer:
    """What came on one stream."""

    id: int
    status: int | None = None
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None  # the error code of RST_STREAM

    @property
    def error(self):
        """What `{"error":"…"}` says; None if it is not that and nothing else."""
        return error(self.body)

    @property
    def counts(self):
        """The numbers it was told, in their order."""
        lines = self.body.decode().split("\n")
        return [int(line[6:]) for line in lines if line.startswith("data: ")]


class Connection(H2Connection):
    """h2, which takes a GOAWAY for the end and no frame after it. But streams
    go on that the server still answers (RFC 9113, section 6.8)."""

    def _receive_goaway_frame(self, frame):
        received = super()._receive_goaway_frame(frame)
        self.state_machine.state = ConnectionState.CLIENT_OPEN
        return received


class Http2:
    """A connection with prior knowledge, or over the TLS socket that is given."""

    def __init__(self, address, *, scheme="http", sock=None, window=65_535):
        self.authority = f"{address[0]}:{address[1]}"
        self.scheme = scheme
        self.answers = {}
        self.goaway = None  # the error code
        self.closed = False
        self.sock = sock or socket.create_connection(address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Headers go out as they are given: a test may well want wrong ones.
        config = H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = Connection(config)
        self.h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: window,
            },
        )
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.closed = True
        self.sock.close()

    def flush(self):
        """Writes what was asked for since the last time."""
        self.sock.sendall(self.h2.data_to_send())

    def ignore_the_limit_of_streams(self):
        """Forgets how many streams the server allows."""
        self.h2.remote_settings.max_concurrent_streams = 2**31 - 1
        self.h2.remote_settings.acknowledge()

    def ask(self, path, headers=(), *, method="GET", body=None, ends=True, flush=True):
        """Sends a request; what comes back will stand in the answer. An authority of
        None is left out, and a body that doesn't end may be gone on with."""
        answer = Answer(self.h2.get_next_available_stream_id())
        self.answers[answer.id] = answer
        head = [
            (":method", method),
            (":scheme", self.scheme),
            *([(":authority", self.authority)] if self.authority is not None else []),
            (":path", path),
            *headers,
        ]
        self.h2.send_headers(answer.id, head, end_stream=body is None)
        if body is not None:
            self.h2.send_data(answer.id, body, end_stream=ends)
        if flush:
            self.flush()
        return answer

    def reset(self, answer, *, flush=True):
        """Gives a stream up with RST_STREAM(CANCEL)."""
        self.h2.reset_stream(answer.id, error_code=8)
        if flush:
            self.flush()

    def open_window(self, answer, octets):
        """Lets the server send so much more on a stream."""
        self.h2.increment_flow_control_window(octets, answer.id)
        self.flush()

    def get(self, path, headers=(), **request):
        """The whole answer to a request that ends."""
        answer = self.ask(path, headers, **request)
        self.until(lambda: answer.ended, f"the end of the answer to {path}")
        return answer

    def join(self, path="/events"):
        """A stream that has been told its first number."""
        answer = self.ask(path)
        self.until(lambda: answer.counts, f"the first event of {path}")
        return answer

    def until(self, condition, what, within=PATIENCE):
        """Hears the server until the condition holds."""
        deadline = time.monotonic() + within
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"waited {within} s for {what}: {self}")
            if self.closed:
                raise AssertionError(f"closed while waiting for {what}: {self}")
            self.hear(left)

    def hear(self, within):
        """Takes in what comes next, waiting so long for it."""
        self.sock.settimeout(within)
        try:
            data = self.sock.recv(65_536)
        except TimeoutError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.h2.receive_data(data):
            self._note(event)
        try:
            self.flush()  # acknowledges SETTINGS and PING
        except ConnectionError:
            pass  # what it still has to say is read before the end is

    def _note(self, event):
        answer = self.answers.get(getattr(event, "stream_id", None))
        match event:
            case ResponseReceived():
                headers = dict(event.headers)
                answer.status = int(headers.pop(":status"))
                answer.headers = headers
            case DataReceived():
                answer.body += event.data
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            case StreamEnded():
                answer.ended = True
            case StreamReset() if answer:
                answer.reset = int(event.error_code)
            case ConnectionTerminated():
                self.goaway = int(event.error_code)

    def __repr__(self):
        state = "closed" if self.closed else "open"
        return f"<{state}, GOAWAY {self.goaway}, {list(self.answers.values())[-3:]}>"
