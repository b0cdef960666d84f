from __future__ import annotations

import http.client
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from oqkit.testing.fault import Fault, FaultKind, weather
from oqkit.testing.proxy import Exchange, FaultProxy, _Request


class Upstream(ThreadingHTTPServer):
    """A server that remembers what it was sent, and answers 404 to keys with `absent`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        self.send_response(404 if "absent" in self.path else 200)
        reply = b"<Reply/>"
        self.send_header("Content-Length", str(len(reply)))
        self.send_header("ETag", '"abc"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply)

    do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 - the names that the base class looks for

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(upstream) -> Iterator[FaultProxy]:
    with FaultProxy(upstream.url, seed=7) as proxy:
        yield proxy


class Client:
    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)

    def ask(self, method, path, body=None, **headers):
        self.connection.request(method, path, body=body, headers=headers)
        reply = self.connection.getresponse()
        return reply.status, reply.read()


@pytest.fixture
def client(proxy) -> Iterator[Client]:
    client = Client(proxy.url)
    yield client
    client.connection.close()


def ask_in_vain(client):
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.ask("PUT", "/b/k", b"1")
    client.connection.close()


def test_proxy_forwards_what_the_client_signed(proxy, upstream, client):
    assert client.ask("PUT", "/b/a%20b?x=1", b"body", Authorization="signed") == (200, b"<Reply/>")
    ((method, path, headers, body),) = upstream.seen
    assert (method, path, body) == ("PUT", "/b/a%20b?x=1", b"body")
    assert headers["Host"] == urlsplit(proxy.url).netloc
    assert headers["Authorization"] == "signed"


def test_proxy_keeps_the_connection_and_answers_every_method(proxy, client):
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert client.ask(method, "/b/k") == (200, b"" if method == "HEAD" else b"<Reply/>")
        first = client.connection.sock
    assert client.connection.sock is first
    assert proxy.counts == {"GET": 1, "HEAD": 1, "PUT": 1, "DELETE": 1}


def test_proxy_puts_the_chunks_of_a_body_together(upstream, client):
    client.connection.request("PUT", "/b/k", body=iter([b"one", b"two"]), encode_chunked=True)
    assert client.connection.getresponse().read() == b"<Reply/>"
    assert upstream.seen[0][3] == b"onetwo"


def test_proxy_asks_for_the_body_when_the_client_waits_to_send_it(client):
    client.connection.putrequest("PUT", "/b/k")
    client.connection.putheader("Content-Length", "4")
    client.connection.putheader("Expect", "100-continue")
    client.connection.endheaders()
    assert client.connection.sock.recv(100).startswith(b"HTTP/1.1 100 ")
    client.connection.send(b"body")
    assert client.connection.getresponse().status == 200


def test_log_names_method_key_status_and_fault(proxy, client):
    proxy.inject(Fault(FaultKind.STATUS, status=409, key=r"^p/1$"))
    client.ask("GET", "/bucket/p/absent")
    client.ask("PUT", "/bucket/p/1")
    client.ask("GET", "/bucket?list-type=2&prefix=p%2F&max-keys=3")
    assert proxy.log == [
        Exchange(method="GET", key="p/absent", status=404, fault=None),
        Exchange(method="PUT", key="p/1", status=None, fault=FaultKind.STATUS, refusal=409),
        Exchange(method="LIST", key="p/", status=200, fault=None),
    ]


@pytest.mark.parametrize(
    ("verb", "target", "names"),
    (
        ("GET", "/bucket?list-type=2&prefix=q%2Fopen%2F", ("LIST", "q/open/")),
        ("GET", "/bucket?versions&prefix=q%2Fa", ("LIST", "q/a")),
        ("GET", "/bucket/q/a%20b", ("GET", "q/a b")),
        ("GET", "/account/container?restype=container&comp=list&prefix=q%2Fopen%2F", ("LIST", "q/open/")),
        ("GET", "/account/container/q/a", ("GET", "container/q/a")),
        ("PUT", "/account/container/q/a", ("PUT", "container/q/a")),
    ),
)
def test_requests_are_named_as_faults_name_them_to_s3_and_to_azure(verb, target, names):
    assert _Request(verb=verb, target=target, headers=(), body=b"").names() == names


@pytest.mark.parametrize("status", (409, 429, 500, 503))
def test_status_is_answered_and_not_forwarded(proxy, upstream, client, status):
    proxy.inject(Fault(FaultKind.STATUS, status=status))
    found, body = client.ask("PUT", "/b/k", b"1")
    assert found == status
    assert re.search(rb"<Code>\w+</Code>", body)
    assert upstream.seen == []


def test_reset_before_closes_and_does_not_forward(proxy, upstream, client):
    proxy.inject(Fault(FaultKind.RESET_BEFORE))
    ask_in_vain(client)
    assert upstream.seen == []


def test_drop_reply_forwards_and_closes(proxy, upstream, client):
    proxy.inject(Fault(FaultKind.DROP_REPLY))
    ask_in_vain(client)
    assert len(upstream.seen) == 1
    assert proxy.log[0].status == 200


def test_late_closes_and_then_forwards(proxy, upstream, client):
    proxy.inject(Fault(FaultKind.LATE, delay_s=0.1))
    ask_in_vain(client)
    assert upstream.seen == []
    proxy.settle()
    assert len(upstream.seen) == 1


def test_stall_forwards_and_holds_the_reply(proxy, upstream, client):
    proxy.inject(Fault(FaultKind.STALL, delay_s=60))
    client.connection.timeout = 0.2
    with pytest.raises(TimeoutError):
        client.ask("PUT", "/b/k", b"1")
    assert len(upstream.seen) == 1


def test_cut_sends_half_of_the_reply(proxy, client):
    proxy.inject(Fault(FaultKind.CUT))
    with pytest.raises(http.client.IncompleteRead) as raised:
        client.ask("GET", "/b/k")
    assert raised.value.partial == b"<Rep"


def test_latency_delays_and_answers(proxy, client):
    proxy.inject(Fault(FaultKind.LATENCY, delay_s=0.1))
    start = time.monotonic()
    assert client.ask("GET", "/b/k")[0] == 200
    assert time.monotonic() - start >= 0.1


def test_fault_strikes_only_what_it_names(proxy, client):
    proxy.inject(Fault(FaultKind.STATUS, status=500, method="PUT", key="parts/", skip=1, times=2))
    asked = [("GET", "parts/1"), ("PUT", "job"), *[("PUT", f"parts/{number}") for number in range(4)]]
    assert [client.ask(method, f"/b/{key}")[0] for method, key in asked] == [200, 200, 200, 500, 500, 200]


def test_clear_ends_all_faults(proxy, client):
    proxy.inject(Fault(FaultKind.STATUS, status=500))
    proxy.clear()
    assert client.ask("GET", "/b/k")[0] == 200


def test_probability_is_the_same_for_the_same_seed(upstream):
    def statuses(seed):
        with FaultProxy(upstream.url, seed=seed) as proxy:
            proxy.inject(Fault(FaultKind.STATUS, status=500, probability=0.5))
            client = Client(proxy.url)
            found = [client.ask("GET", "/b/k")[0] for _ in range(30)]
            client.connection.close()
            return found

    assert set(statuses(1)) == {200, 500}
    assert statuses(1) == statuses(1) != statuses(2)


def test_connection_is_closed_when_the_server_is_gone(client, upstream):
    upstream.server_close()
    upstream.shutdown()
    ask_in_vain(client)


def test_latency_is_added_to_every_request_of_a_method(upstream):
    with FaultProxy(upstream.url, latency_s={"PUT": 0.2}) as proxy:
        client = Client(proxy.url)
        took = {}
        for method in ("PUT", "GET"):
            start = time.monotonic()
            assert client.ask(method, "/b/k")[0] == 200
            took[method] = time.monotonic() - start
        client.connection.close()
    assert took["PUT"] >= 0.2
    assert took["GET"] < took["PUT"]


def test_weather_strikes_as_often_as_it_says(upstream):
    with FaultProxy(upstream.url, seed=3) as proxy:
        for fault in weather():
            proxy.inject(fault)
        puts, gets = (
            Counter(
                (fault.kind, fault.status if fault.kind is FaultKind.STATUS else None)
                for _ in range(20_000)
                if (fault := proxy.choose(_Request(verb=verb, target="/b/k", headers=(), body=b""))) is not None
            )
            for verb in ("PUT", "GET")
        )
    expected = {
        (FaultKind.STATUS, 500): 0.02,
        (FaultKind.STATUS, 503): 0.02,
        (FaultKind.STATUS, 429): 0.01,
        (FaultKind.RESET_BEFORE, None): 0.03,
        (FaultKind.DROP_REPLY, None): 0.03,
        (FaultKind.STALL, None): 0.01,
    }
    for kind, rate in {**expected, (FaultKind.STATUS, 409): 0.02, (FaultKind.LATE, None): 0.01}.items():
        assert puts.pop(kind) / 20_000 == pytest.approx(rate, rel=0.2), kind
    for kind, rate in expected.items():
        assert gets.pop(kind) / 20_000 == pytest.approx(rate, rel=0.2), kind
    assert not puts
    assert not gets
