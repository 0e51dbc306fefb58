"""Connections of many clients in one event loop: HTTP/1 and HTTP/2, plain or over TLS.
None of them blocks. For soak.py, whose clients they serve: a client is told
`answered(status)`, `told(event)` for each event, and `over(how)` once.
"""

import contextlib
import selectors
import socket
import ssl
import struct
from urllib.parse import quote

from h2.config import H2Configuration
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes, Settings

from http2 import Connection
from stream import Chunked, Events

IP_BIND_ADDRESS_NO_PORT = 24
PATIENCE = 20.0  # seconds
RST = struct.pack("ii", 1, 0)
#: What a stream of HTTP/2 may be sent before its client takes it: some 20 events.
WINDOW = 1000
#: For all streams of a connection, so that none waits because another is not read.
CONNECTION_WINDOW = 1 << 30
CANCEL = 8


class Tls:
    """One side of TLS, between bytes that were read and bytes to be sent."""

    def __init__(self, context, name):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._waiting, self._shaken = b"", False

    def send(self, data=b""):
        """What goes over the wire now, for this and for what waited."""
        self._waiting += data
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            if self._waiting:
                self._tls.write(self._waiting)
                self._waiting = b""
        return self._outgoing.read()

    def receive(self, data):
        """What came over the wire, decrypted; and whether that was all."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        content = b""
        while self._shaken or not data:
            try:
                read = self._tls.read(65_536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError:  # closed, well or not
                return content, True
            if not read:
                return content, True
            content += read
        return content, not data

    def goodbye(self):
        """A close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()


class Link:
    """A connection. A subclass takes what is read in `_take(data)`, and the end in
    `_end(how)`."""

    def __init__(self, selector, address, *, source=None, context=None, receive_buffer=None):
        self.is_open = True
        self._selector = selector
        self._address = address
        self.socket = socket.socket()
        try:
            if receive_buffer:  # before it connects: what it takes is told then
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                self.socket.bind((source, 0))
            self.socket.settimeout(PATIENCE)
            self.socket.connect(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.setblocking(False)
        except BaseException:
            self.socket.close()
            raise
        self._tls = context and Tls(context, address[0])
        self._reads = False
        self.read_on()

    def send(self, data=b""):
        """Sends it; if the other side has gone, reading will tell."""
        if self._tls:
            data = self._tls.send(data)
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def read_on(self):
        if self.is_open and not self._reads:
            self._selector.register(self.socket, selectors.EVENT_READ, self)
            self._reads = True

    def stop_reading(self):
        if self._reads:
            self._selector.unregister(self.socket)
            self._reads = False

    def ready(self):
        """Reads what there is."""
        try:
            data = self.socket.recv(65_536)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            self._close()
            self._end("reset")
            return
        over = not data
        if self._tls:
            data, over = self._tls.receive(data)
            self.send()  # what the handshake has to say
        if data:
            self._take(data)
        if over and self.is_open:
            self._close()
            self._end("cut")

    def _close(self):
        self.stop_reading()
        self.socket.close()
        self.is_open = False

    # The ways to leave.

    def fin(self):
        """FIN; or RST, if there is something that was not read."""
        self._close()

    def reset(self):
        """RST, by SO_LINGER."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
        self._close()

    def half_close(self):
        """FIN, but it still reads: the other side has to end it."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.read_on()

    def goodbye(self):
        """As the protocols want it: close_notify, and FIN."""
        if self._tls:
            with contextlib.suppress(ConnectionError, BlockingIOError):
                self.socket.sendall(self._tls.goodbye())
        self._close()


class Http1(Link):
    """One stream over HTTP/1."""

    protocol = "http/1.1"

    def __init__(self, client, *arguments, **options):
        super().__init__(*arguments, **options)
        self._client = client
        self._head, self._status = b"", None
        self._body, self._events = Chunked(), Events()

    def ask(self, query, token=None, after=b""):
        """Asks for a stream."""
        more = f"last-event-id: {token}\r\n" if token else ""
        head = f"GET /events?{query} HTTP/1.1\r\nhost: headcount\r\n{more}\r\n"
        self.send(head.encode() + after)

    def open_window(self):
        """Nothing: what is read is taken."""

    def _take(self, data):
        if self._status is None:
            self._head += data
            head, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            self._status = int(head.split(b" ", 2)[1])
            self._client.answered(self._status)
        if self._status == 200 and self.is_open:
            self._events.feed(self._body.feed(data))
            for event in self._events.all:
                self._client.told(event)
            self._events.all.clear()
            if self._body.ended and self.is_open:
                self._close()
                self._client.over("ended")

    def _end(self, how):
        self._client.over(how)


class Http2(Link):
    """Streams over HTTP/2."""

    protocol = "h2"

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        #: The streams that are open, by their numbers.
        self.tabs = {}
        self._h2 = Connection(
            H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
            )
        )
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW)
        self._flush()

    def request(self, tab, path, method="GET", headers=(), body=None):
        number = self._h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", "https" if self._tls else "http"),
            (":authority", f"{self._address[0]}:{self._address[1]}"),
            (":path", path),
            *headers,
        ]
        self._h2.send_headers(number, head, end_stream=body is None)
        if body is not None:
            self._h2.send_data(number, body, end_stream=True)
        tab.number = number
        self.tabs[number] = tab
        self._flush()

    def cancel(self, tab):
        """RST_STREAM."""
        del self.tabs[tab.number]
        self._h2.reset_stream(tab.number, CANCEL)
        self._flush()

    def acknowledge(self, tab, octets):
        """Lets the server send so much more."""
        if self.is_open and octets:
            self._h2.acknowledge_received_data(octets, tab.number)
            self._flush()

    def goodbye(self):
        self._h2.close_connection()
        self._flush()
        super().goodbye()

    def _flush(self):
        data = self._h2.data_to_send()
        if data:
            self.send(data)

    def _take(self, data):
        for event in self._h2.receive_data(data):
            tab = self.tabs.get(getattr(event, "stream_id", None))
            match event:
                case ConnectionTerminated():
                    self._close()
                    self._end(f"GOAWAY {event.error_code}")
                    return
                case ResponseReceived() if tab:
                    tab.answered(int(dict(event.headers)[b":status"]))
                case DataReceived() if tab:
                    tab.take(event.data, event.flow_controlled_length)
                case StreamEnded() if tab:
                    del self.tabs[tab.number]
                    tab.end("ended")
                case StreamReset() if tab:
                    del self.tabs[tab.number]
                    tab.end("reset")
            if not self.is_open:
                return
        self._flush()  # acknowledges SETTINGS and PING

    def _end(self, how):
        tabs, self.tabs = self.tabs, {}
        for tab in tabs.values():
            tab.end(how)


class Tab:
    """One stream of a connection over HTTP/2."""

    def __init__(self, client, connection):
        self.connection = connection
        self.number = None
        self._client = client
        self._events = Events()
        self._reads, self._not_acknowledged = True, 0

    @property
    def is_open(self):
        return self.connection.is_open and self.number in self.connection.tabs

    def ask(self, query, token=None):
        """Asks for a stream."""
        headers = [("last-event-id", token)] if token else []
        self.connection.request(self, f"/events?{query}", headers=headers)

    def stop_reading(self):
        """Shuts its window; the connection is read."""
        self._reads = False

    def read_on(self):
        self._reads = True
        octets, self._not_acknowledged = self._not_acknowledged, 0
        if self.is_open:
            self.connection.acknowledge(self, octets)

    def cancel(self):
        self.connection.cancel(self)

    def answered(self, status):
        self._client.answered(status)

    def take(self, data, octets):
        self._not_acknowledged += octets
        if self._reads:
            self.read_on()
        self._events.feed(data)
        for event in self._events.all:
            self._client.told(event)
        self._events.all.clear()

    def end(self, how):
        self._client.over(how)


class Refused:
    """A client that is answered with a refusal over HTTP/2, and no stream."""

    def __init__(self):
        self.number = self.status = None
        self.is_over = False

    def answered(self, status):
        self.status = status

    def take(self, data, octets):
        pass

    def end(self, how):
        self.is_over = True


def query(rooms, **asks):
    """What follows `/events?`, for one room or a list of several."""
    rooms = [rooms] if isinstance(rooms, str) else rooms
    named = [f"room={quote(room, safe='')}" for room in rooms]
    return "&".join([*named, *(f"{k}={v}" for k, v in asks.items())])
