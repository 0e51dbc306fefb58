"""An event stream as the contract has it, read from bytes. What the contract does not
say is an error.
"""

import json
import re
import time
from dataclasses import dataclass

from waiting import DEADLINE


@dataclass
class Event:
    """One block of a stream: `retry`, `id` and `data`, those that it has; and of which
    room, where a stream has several."""

    number: int | None
    token: str | None
    retry: int | None
    at: float
    room: str | None = None
    #: What it says of whether the numbers are partial.
    partial: bool | None = None


_EVENT = re.compile(
    rb"(?:retry: (?P<retry>\d+)\n)?(?:id: (?P<token>[0-9a-f]{32}(?:[0-9a-f]{8}){0,32})\n)?"
    rb"(?:event: user count\ndata: (?:(?P<number>\d+)|(?P<named>\{.+\}))\n)?"
    rb"(?:event: partial\ndata: (?P<partial>true|false)\n)?"
)


class Events:
    """Reads bytes as a stream of events (no others than the contract knows)."""

    def __init__(self):
        self.all = []
        self._rest = b""

    def feed(self, data):
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            found = _EVENT.fullmatch(block + b"\n")
            assert found and block, f"no event of the contract: {block!r}"
            retry, token, number = found["retry"], found["token"], found["number"]
            room = None
            if found["named"]:
                named = json.loads(found["named"])
                room, number = named.pop("room"), named.pop("count")
                assert not named, f"no event of the contract: {block!r}"
            self.all.append(
                Event(
                    int(number) if number is not None else None,
                    token.decode() if token else None,
                    int(retry) if retry else None,
                    time.monotonic(),
                    room,
                    found["partial"] == b"true" if found["partial"] else None,
                )
            )


class Chunked:
    """Takes the chunks of HTTP/1.1 off a body."""

    def __init__(self):
        self.ended = False
        self._rest = b""

    def feed(self, data):
        """The content of the chunks that are complete."""
        self._rest += data
        content = b""
        while not self.ended:
            size, line_end, after = self._rest.partition(b"\r\n")
            if not line_end:
                break
            length = int(size, 16)
            if len(after) < length + 2:
                break
            assert after[length : length + 2] == b"\r\n", f"no chunk: {self._rest[:100]!r}"
            content += after[:length]
            self._rest = after[length + 2 :]
            self.ended = length == 0
        return content


class Stream:
    """What the visitors of both protocols have in common. A subclass reads in
    `_read(within)`, feeds `_events`, and sets `ended` to a word on how."""

    def __init__(self):
        self._events = Events()
        self.ended = None

    @property
    def events(self):
        return self._events.all

    @property
    def history(self):
        """All the numbers that it was told, in their order."""
        return [event.number for event in self.events if event.number is not None]

    @property
    def newest(self):
        return self.history[-1] if self.history else None

    @property
    def numbers(self):
        """The newest number of each room that it was told, if it is of several."""
        return {event.room: event.number for event in self.events if event.room is not None}

    @property
    def partial(self):
        """What it was told last of whether the numbers are partial."""
        said = [event.partial for event in self.events if event.partial is not None]
        return said[-1] if said else None

    @property
    def token(self):
        """What names its seat: the id of its first event."""
        return self.events[0].token

    def pump(self, within=0.0):
        """Reads what there is, waiting so long for anything at all."""
        if self.ended is None:
            self._read(within)

    def wait(self, what, condition, within=DEADLINE):
        """Reads until `condition(self)` holds; how long that took."""
        start = time.monotonic()
        self.pump()
        while not condition(self):
            left = start + within - time.monotonic()
            if left <= 0 or (self.ended and not condition(self)):
                told = f"{len(self.history)} numbers, at last {self.history[-20:]}"
                raise AssertionError(f"not within {within} s: {what}; {told}, end: {self.ended}")
            self.pump(min(left, 0.5))
        return time.monotonic() - start

    def sees(self, number, within=DEADLINE):
        """Waits until `number` is the newest that it was told; how long that took."""
        return self.wait(f"told {number}", lambda self: self.newest == number, within)

    def is_ended(self, how="ended", within=DEADLINE):
        """Waits for the stream's end by the server: `ended` as HTTP has it, `cut`
        without, or `reset`. How long that took."""
        seconds = self.wait("the stream's end", lambda self: self.ended, within)
        assert self.ended == how, f"the stream's end is {self.ended!r}, not {how!r}"
        return seconds
