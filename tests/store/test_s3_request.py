"""What is sent, how often, and what an answer that went wrong becomes."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import botocore.endpoint
import pytest

from oqkit.clock import wall_time
from oqkit.errors import Conflict, Missing, StoreError, Unavailable
from oqkit.store.base import Store
from oqkit.store.s3 import S3Store
from oqkit.testing.fault import Fault, FaultKind
from oqkit.testing.proxy import FaultProxy
from tests.local import until
from tests.store.bucket import new_store

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("aws")]

# --- what is sent, and how often -----------------------------------------------------------------


@pytest.fixture
def proxy(seaweed) -> Iterator[FaultProxy]:
    with FaultProxy(seaweed.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK retry at once."""
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _seconds: None))


@pytest.fixture
def store(seaweed, proxy, no_backoff) -> S3Store:
    """A store on the real server, behind the proxy, that does not wait long."""
    return new_store(seaweed, endpoint_url=proxy.url, read_timeout_s=0.5)


def sent(proxy, method, n):
    """Return how many requests of a method came, once there are `n`: one counts when it is answered, which a client may not wait for."""
    until(lambda: proxy.counts[method] >= n)
    return proxy.counts[method]


FAILURES = {
    **{f"{status}": Fault(FaultKind.STATUS, status=status, method="PUT") for status in (409, 429, 500, 503)},
    "reset": Fault(FaultKind.RESET_BEFORE, method="PUT"),
    "lost": Fault(FaultKind.DROP_REPLY, method="PUT"),
    "stall": Fault(FaultKind.STALL, method="PUT", delay_s=5),
}
failing = pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES)


@failing
def test_create_is_sent_once_and_unavailable_when_it_fails(store, proxy, fault):
    proxy.inject(fault)
    with pytest.raises(Unavailable):
        store.create("a", b"1")
    assert sent(proxy, "PUT", 1) == store.requests.snapshot()["put"] == 1


@failing
def test_replace_is_sent_once_and_unavailable_when_it_fails(store, proxy, fault):
    etag = store.create("a", b"1")
    proxy.inject(fault)
    with pytest.raises(Unavailable):
        store.replace("a", b"2", etag=etag)
    assert sent(proxy, "PUT", 2) == store.requests.snapshot()["put"] == 2


def test_create_conflicts_with_itself_when_its_reply_was_lost(store, proxy):
    proxy.inject(Fault(FaultKind.DROP_REPLY, method="PUT", times=1))
    with pytest.raises(Unavailable):
        store.create("a", b"mine")
    with pytest.raises(Conflict):
        store.create("a", b"mine")
    assert store.read("a").data == b"mine"


def test_overwrite_is_sent_again_when_it_fails(store, proxy):
    proxy.inject(Fault(FaultKind.DROP_REPLY, method="PUT", times=2))
    store.overwrite("a", b"1")
    assert sent(proxy, "PUT", 3) == store.requests.snapshot()["put"] == 3


@pytest.mark.parametrize(
    ("method", "kind", "ask"),
    (
        ("GET", "get", lambda store: store.read("a")),
        ("LIST", "list", lambda store: store.list("")),
        ("DELETE", "delete", lambda store: store.delete("a")),
    ),
    ids=["read", "list", "delete"],
)
def test_retries_are_made_and_counted_when_the_request_may_be_repeated(store, proxy, method, kind, ask):
    store.create("a", b"1")
    proxy.inject(Fault(FaultKind.STATUS, status=503, method=method, times=2))
    ask(store)
    assert sent(proxy, method, 3) == store.requests.snapshot()[kind] == 3


def test_many_are_deleted_in_one_request(store, proxy):
    for key in ("a/1", "a/2", "b"):
        store.create(key, b"1")
    store.delete_many(["a/1", "a/2"])
    assert [entry.key for entry in store.list("").entries] == ["b"]
    assert (proxy.counts["POST"], proxy.counts["DELETE"]) == (1, 0)
    assert store.requests.snapshot()["delete"] == 1
    store.delete_many(["b"])
    assert (proxy.counts["POST"], proxy.counts["DELETE"]) == (1, 1)


@pytest.mark.parametrize("status", (400, 403, 501))
def test_many_are_deleted_one_by_one_where_the_server_knows_no_other_way(store, proxy, status):
    proxy.inject(Fault(FaultKind.STATUS, status=status, method="POST"))
    for keys in (["a", "b"], ["c", "d"]):
        for key in keys:
            store.create(key, b"1")
        store.delete_many(keys)
        assert store.list("").entries == ()
    assert (proxy.counts["POST"], proxy.counts["DELETE"]) == (1, 4), "and it is asked once"


def test_many_deletes_are_unavailable_when_all_retries_fail(store, proxy):
    proxy.inject(Fault(FaultKind.DROP_REPLY, method="POST"))
    with pytest.raises(Unavailable):
        store.delete_many(["a", "b"])
    assert sent(proxy, "POST", 3) == 3


def test_read_is_unavailable_when_all_retries_fail(store, proxy):
    proxy.inject(Fault(FaultKind.RESET_BEFORE, method="GET"))
    with pytest.raises(Unavailable):
        store.read("a")
    assert sent(proxy, "GET", 3) == 3


def test_read_is_unavailable_when_the_object_arrives_in_part(store, proxy):
    store.create("a", bytes(100_000))
    proxy.inject(Fault(FaultKind.CUT, method="GET"))
    with pytest.raises(Unavailable):
        store.read("a")


@pytest.mark.parametrize("ask", (lambda store: store.read("absent"), lambda store: store.list("")), ids=["get", "list"])
def test_no_error_of_the_sdk_gets_out_when_an_xml_reply_arrives_in_part(store, proxy, ask):
    proxy.inject(Fault(FaultKind.CUT))
    with pytest.raises(StoreError):
        ask(store)


def test_read_is_unavailable_when_an_error_reply_stops_in_the_middle():
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def answer() -> socket.socket:
            connection, _ = listener.accept()
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 500\r\n\r\n<Error>")
            return connection  # open, so that the rest may still come

        accepted = pool.submit(answer)
        store = S3Store("plain", endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout_s=0.2)
        with pytest.raises(Unavailable):
            store.read("a")
        accepted.result().close()


def test_connection_refused_is_unavailable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Unavailable):
            S3Store("plain", endpoint_url=f"http://127.0.0.1:{port}").create("a", b"1")


def test_large_writes_are_given_more_time():
    connection = S3Store("plain", read_timeout_s=10)._connection
    sizes = {0: 10, 2000: 10, 1 << 20: 10, 2 << 20: 12, 33 << 20: 74, 64 << 20: 74}
    found = {size: connection.client(attempts=1, size_bytes=size).meta.config.read_timeout for size in sizes}
    assert found == sizes


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error"),
    (
        (lambda store: store.read("a"), None),
        (lambda store: store.read_changed("a", etag=store.read("a").etag), None),
        (lambda store: store.read("absent"), Missing),
        (lambda store: store.create("a", b"2"), Conflict),
    ),
    ids=["200", "304", "404", "412"],
)
def test_now_is_learned_from_every_reply(seaweed, ask: Callable[[Store], object], error):
    store = new_store(seaweed)
    store.create("a", b"1")
    fresh = pickle.loads(pickle.dumps(store))
    if error is None:
        ask(fresh)
    else:
        with pytest.raises(error):
            ask(fresh)
    assert fresh.server.is_set
    assert fresh.now() == pytest.approx(wall_time(), abs=2)  # the server runs on this machine
