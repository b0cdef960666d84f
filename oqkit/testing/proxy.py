"""A proxy on this machine that spoils chosen requests to S3 or Azure, for tests with real processes and a real server.

    with FaultProxy(server.endpoint_url, seed=1) as proxy:
        proxy.inject(Fault(FaultKind.DROP_REPLY, method="PUT", key="parts/", times=1))
        store = S3Store("bucket", endpoint_url=proxy.url)

    with FaultProxy(server.endpoint_url, seed=1, latency_s=S3_LATENCY_S) as proxy:
        for fault in weather():          # one request in seven goes wrong somehow
            proxy.inject(fault)

The headers that a client signs pass unchanged, also `Host`: the client signs the proxy's own name, and
the server checks the signature against the name that it is sent.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import random
import re
import socket
import socketserver
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self, assert_never
from urllib.parse import parse_qs, unquote, urlsplit

from oqkit.testing.fault import Fault, FaultKind

_UPSTREAM_TIMEOUT_S = 120.0
_IDLE_S = 1.0  # a server may close a connection that was idle for longer: that would be a fault nobody asked for
_HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "expect"}
_CODES = {
    403: "AccessDenied",
    409: "ConditionalRequestConflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request that was seen. `status` is the server's, None if it was not asked or had not answered.

    `refusal` is the status that the proxy gave in its place.
    """

    method: str
    key: str
    status: int | None
    fault: FaultKind | None
    refusal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    verb: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def names(self) -> tuple[str, str]:
        """Return the method and the key as `Fault` and `Exchange` name them."""
        url = urlsplit(self.target)
        key = unquote(url.path).lstrip("/").partition("/")[2]
        query = parse_qs(url.query, keep_blank_values=True)
        is_list_of_s3 = not key and ("list-type" in query or "versions" in query)
        if self.verb == "GET" and (is_list_of_s3 or query.get("comp") == ["list"]):  # `comp`: Azure
            return "LIST", query.get("prefix", [""])[0]
        return self.verb, key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Rule:
    """A fault that counts; every method wants the proxy's lock held."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._pattern = re.compile(fault.key)
        self._n_seen = 0
        self._n_left = fault.times

    def strikes(self, method: str, key: str, rng: random.Random) -> bool:
        if self._n_left == 0 or self.fault.method not in {None, method} or not self._pattern.search(key):
            return False
        self._n_seen += 1
        if self._n_seen <= self.fault.skip or rng.random() >= self.fault.probability:
            return False
        if self._n_left is not None:
            self._n_left -= 1
        return True


class FaultProxy:
    """Stands between clients and `upstream_url` while its `with` block runs; the first fault that matches strikes.

    `latency_s` is added to every request of a method, also to those that go well. What is still held or late when
    the block ends is dropped.
    """

    def __init__(self, upstream_url: str, *, seed: int = 0, latency_s: Mapping[str, float] | None = None) -> None:
        upstream = urlsplit(upstream_url)
        self.upstream = (upstream.hostname or "127.0.0.1", upstream.port or 80)
        self._latency_s = dict(latency_s or {})
        self._rng = random.Random(seed)  # noqa: S311 - chance that can be repeated
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._log: list[Exchange] = []
        self._late: list[threading.Thread] = []
        self._is_over = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.settle()

    @property
    def url(self) -> str:
        """The address to give to clients."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def log(self) -> list[Exchange]:
        """Every request so far, in the order in which they ended."""
        with self._lock:
            return list(self._log)

    @property
    def counts(self) -> Counter[str]:
        """The number of requests so far by method, `LIST` apart from `GET`."""
        return Counter(exchange.method for exchange in self.log)

    def inject(self, fault: Fault) -> None:
        """Let `fault` strike from now on."""
        with self._lock:
            self._rules.append(_Rule(fault))

    def clear(self) -> None:
        """Let nothing go wrong from now on."""
        with self._lock:
            self._rules.clear()

    def settle(self) -> None:
        """Wait until every late request was forwarded."""
        with self._lock:
            late, self._late = self._late, []
        for thread in late:
            thread.join()

    # --- what a connection asks ------------------------------------------------------------------

    def choose(self, request: _Request) -> Fault | None:
        method, key = request.names()
        with self._lock:
            return next((rule.fault for rule in self._rules if rule.strikes(method, key, self._rng)), None)

    def answer(self, request: _Request, reply: _Reply) -> _Reply:
        """Return what the client is told of the server's reply: all of it, unless a subclass says otherwise."""
        del request
        return reply

    def delay(self, request: _Request) -> None:
        """Wait as long as a request of this method takes on its way."""
        delay_s = self._latency_s.get(request.names()[0], 0.0)
        if delay_s:
            self.pause(delay_s)

    def note(self, request: _Request, *, status: int | None, fault: Fault | None) -> None:
        method, key = request.names()
        with self._lock:
            kind = fault.kind if fault else None
            refusal = fault.status if fault and kind is FaultKind.STATUS else None
            self._log.append(Exchange(method=method, key=key, status=status, fault=kind, refusal=refusal))

    def pause(self, seconds: float) -> bool:
        """Wait, and say whether the proxy is still there."""
        return not self._is_over.wait(seconds)

    def forward_late(self, request: _Request, *, delay_s: float) -> None:
        def forward() -> None:
            if self.pause(delay_s):
                with _Upstream(self.upstream) as upstream:
                    upstream.ask(request)

        thread = threading.Thread(target=forward, daemon=True)
        with self._lock:
            self._late.append(thread)
        thread.start()


class _Upstream:
    """A connection to the server, kept open between requests."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*address, timeout=_UPSTREAM_TIMEOUT_S)
        self._used = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, request: _Request) -> _Reply | None:
        """Forward the request and return the whole reply; None is that the server gave none."""
        if time.monotonic() - self._used > _IDLE_S:
            self._connection.close()
        try:
            reply = self._send(request)
            body = reply.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return None
        self._used = time.monotonic()
        return _Reply(status=reply.status, reason=reply.reason, headers=_end_to_end(reply.getheaders()), body=body)

    def _send(self, request: _Request) -> http.client.HTTPResponse:
        self._connection.putrequest(request.verb, request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers:
            self._connection.putheader(name, value)
        self._connection.endheaders(request.body or None)
        return self._connection.getresponse()


class _Server(socketserver.ThreadingTCPServer):
    """One thread for each connection."""

    daemon_threads = True
    block_on_close = False  # their clients may keep connections open for ever
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._open):  # its thread waits for a next request that never comes
            with contextlib.suppress(OSError):  # gone meanwhile
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Say nothing of clients that go away, which is what these tests are about; show what else goes wrong."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client: reads requests, lets the proxy spoil them, relays replies."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self._proxy = self.server.proxy
        with _Upstream(self._proxy.upstream) as self._upstream:
            super().handle()

    def handle_expect_100(self) -> bool:
        is_going_on = super().handle_expect_100()
        self.wfile.flush()  # the client waits for it
        return is_going_on

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write nothing to stderr: the proxy keeps its own log."""

    def _exchange(self) -> None:
        headers, body = _end_to_end(self.headers.items()), self._body()
        if "Transfer-Encoding" in self.headers:  # the chunks are put together, so their length is known
            headers += (("Content-Length", str(len(body))),)
        request = _Request(verb=self.command, target=self.path, headers=headers, body=body)
        fault = self._proxy.choose(request)
        self._proxy.delay(request)
        status, reply = self._meet(request, fault)
        self._proxy.note(request, status=status, fault=fault)
        if fault is not None and fault.kind is FaultKind.STALL:
            self._proxy.pause(fault.delay_s)
        if reply is not None:
            self._relay(reply)
        if reply is None or (fault is not None and fault.kind is FaultKind.CUT):
            self.close_connection = True

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _exchange  # noqa: N815 - the names that the base class looks for

    def _meet(  # noqa: PLR0911 - one for each kind
        self, request: _Request, fault: Fault | None
    ) -> tuple[int | None, _Reply | None]:
        """Return what the server answered, if it was asked, and what the client gets; None closes the connection."""
        if fault is None:
            return self._forward(request)
        match fault.kind:
            case FaultKind.STATUS:
                refusal = _refusal(fault.status)
                return None, replace(refusal, body=b"") if request.verb == "HEAD" else refusal
            case FaultKind.RESET_BEFORE:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return None, None
            case FaultKind.DROP_REPLY | FaultKind.STALL:
                return self._forward(request)[0], None
            case FaultKind.LATE:
                self._proxy.forward_late(request, delay_s=fault.delay_s)
                return None, None
            case FaultKind.CUT:
                status, reply = self._forward(request)
                return status, replace(reply, body=reply.body[: len(reply.body) // 2]) if reply else None
            case FaultKind.LATENCY:
                self._proxy.pause(fault.delay_s)
                return self._forward(request)
            case never:
                assert_never(never)

    def _forward(self, request: _Request) -> tuple[int | None, _Reply | None]:
        reply = self._upstream.ask(request)
        return (reply.status if reply else None), (self._proxy.answer(request, reply) if reply else None)

    def _body(self) -> bytes:
        """Read the whole body, and put it together if it comes in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size_bytes := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size_bytes))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def _relay(self, reply: _Reply) -> None:
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.body and not any(name.lower() == "content-length" for name, _ in reply.headers):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)


def _end_to_end(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Leave out the headers that speak of one connection only."""
    return tuple((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)


def _refusal(status: int) -> _Reply:
    """Make the error reply that S3 gives with this status."""
    code = _CODES.get(status, "Injected")
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected by the test</Message></Error>".encode()
    date = email.utils.formatdate(usegmt=True)
    headers = (("Date", date), ("Content-Type", "application/xml"), ("Content-Length", str(len(body))))
    return _Reply(status=status, reason=code, headers=headers, body=body)
