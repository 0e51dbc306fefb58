"""A visitor through httpx-sse: prints each event as a line of JSON.

Usage: httpx_sse_client.py URL. Ends with 0 when the server ends the stream, and
when SIGINT asks it to leave.
"""

import json
import sys

import httpx
from httpx_sse import connect_sse


def main(url: str) -> None:
    with httpx.Client(timeout=None) as client, connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            seen = {"event": event.event, "data": event.data, "retry": event.retry}
            print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        pass
