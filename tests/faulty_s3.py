"""A proxy before a server that speaks S3, which does to calls what networks and servers do."""

from __future__ import annotations

import collections
import http.client
import random
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = ("500", "503", "slow", "reset", "lost", "truncated", "flipped")
"""Faults that an answer may have; `lost` is a call that was carried out, and whose answer never came.

`hung`, a call that is never answered while the proxy runs, is only done if it is asked for.
"""

_ERRORS = {"500": "InternalError", "503": "SlowDown"}


class FaultyS3:
    """A server at `url` that hands calls on to another, with faults in a share of them; a context manager.

    The faults are a function of the seed, of what is called, and of how often it was called before, whatever
    else is called meanwhile. `faults` counts them by kind.
    """

    def __init__(self, target: str, *, seed: int = 0, share: float = 0.3, kinds=KINDS, slow_s: float = 0.2):
        """Describe the proxy.

        Args:
            target: URL of the server.
            seed: Seed of the faults.
            share: Share of the calls that have a fault; may be changed while it runs.
            kinds: Kinds of the faults; may be changed too.
            slow_s: Seconds that a slow answer takes.
        """
        self.target, self.seed, self.share, self.kinds, self.slow_s = target, seed, share, kinds, slow_s
        self.faults: collections.Counter[str] = collections.Counter()
        self.stopped = threading.Event()
        self._calls: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            faulty = proxy

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 100

            def handle_error(self, request, client_address):
                pass  # clients hang up

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultyS3:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def choose(self, method: str, path: str) -> tuple[str, random.Random]:
        """Return the kind of the next call's fault, "" for none, and random numbers for it."""
        with self._lock:
            call = f"{method} {path}"
            rng = random.Random(f"{self.seed} {call} {self._calls[call]}")
            self._calls[call] += 1
            kind = rng.choice(self.kinds) if rng.random() < self.share else ""
            if kind == "flipped" and (method not in ("GET", "PUT") or _is_listing(path)):
                kind = "reset"  # no checksum guards listings
            self.faults.update([kind] if kind else [])
            return kind, rng


def _is_listing(path: str) -> bool:
    return "list-type" in path or urlsplit(path).path.strip("/").count("/") == 0


def _flipped(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return content
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faulty: FaultyS3

    def log_message(self, *args):
        pass

    def handle_call(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, rng = self.faulty.choose(self.command, self.path)
        if kind == "hung":
            self.faulty.stopped.wait()
        if kind == "slow":
            self.faulty.stopped.wait(self.faulty.slow_s)
        if kind in ("reset", "hung"):
            self._hang_up()
        elif kind in _ERRORS:
            text = f"<Error><Code>{_ERRORS[kind]}</Code><Message>injected</Message></Error>"
            self._answer(int(kind), {"Content-Type": "application/xml"}, text.encode())
        else:
            if kind == "flipped" and self.command == "PUT":
                body = _flipped(body, rng)
            status, headers, content = self._hand_on(body)
            if kind == "lost":
                self._hang_up()
            elif kind == "flipped" and self.command == "GET" and status < 300:
                self._answer(status, headers, _flipped(content, rng))
            else:
                self._answer(status, headers, content, is_cut=kind == "truncated")

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_call

    def _hand_on(self, body):
        connection = http.client.HTTPConnection(urlsplit(self.faulty.target).netloc, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection", "transfer-encoding"):
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            headers = dict(response.getheaders())
            return response.status, headers, response.read()
        finally:
            connection.close()

    def _answer(self, status, headers, content, *, is_cut=False):
        self.send_response_only(status)
        size = len(content)
        for name, value in headers.items():
            if self.command == "HEAD" and name.lower() == "content-length":
                size = value
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: len(content) // 2] if is_cut else content)
        if is_cut:
            self._hang_up()

    def _hang_up(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
