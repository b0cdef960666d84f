"""What is sent to Azure, how often, and what an answer that went wrong becomes."""

from __future__ import annotations

import logging
import os
import pickle
import re
import socket
import traceback
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pytest

pytest.importorskip("azure.storage.blob", reason="pip install 'oqkit[azure]'")

from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from oqkit.client.scheme import open_store
from oqkit.clock import wall_time
from oqkit.config import Settings
from oqkit.errors import Conflict, Denied, Missing, StoreError, Unavailable, Unsupported
from oqkit.store.azure import AzureStore
from oqkit.store.azure_account import place_of
from oqkit.testing.fault import Fault, FaultKind
from oqkit.testing.proxy import FaultProxy
from tests.local import until
from tests.store.container import CONTAINER, new_store

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("azure")]


@pytest.fixture
def proxy(azurite_server):
    with FaultProxy(azurite_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def no_backoff(monkeypatch):
    """Let the SDK retry at once."""
    monkeypatch.setattr(RequestsTransport, "sleep", lambda *_: None)
    monkeypatch.setattr("azure.storage.blob._download.time.sleep", lambda _: None)


@pytest.fixture
def store(azurite_server, proxy, no_backoff):
    """A store on the emulator, behind the proxy, that does not wait long."""
    return new_store(azurite_server, endpoint_url=proxy.url, read_timeout_s=0.5)


@pytest.fixture
def direct(azurite_server):
    return new_store(azurite_server)


def sent(proxy, method, n):
    """Return how many requests of a method came, once there are `n`."""
    until(lambda: proxy.counts[method] >= n)
    return proxy.counts[method]


FAILURES = {
    **{f"{status}": Fault(FaultKind.STATUS, status=status, method="PUT") for status in (408, 409, 429, 500, 503)},
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


def test_large_write_is_one_request(store, proxy):
    data = bytes(33 << 20)  # the SDK would read 32 MiB at once
    store.create("a", data)
    assert (store.read("a").data == data, proxy.counts) == (True, {"PUT": 1, "GET": 1})


def test_tail_takes_a_second_request_for_the_size(store, proxy):
    store.create("a", b"0123456789")
    assert store.read_range("a", start=-3, length=3) == b"789"
    assert (proxy.counts["HEAD"], proxy.counts["GET"], store.requests.snapshot()["get"]) == (1, 1, 2)


@pytest.mark.parametrize("folders", (False, True))
def test_list_is_one_request_wherever_it_begins(store, proxy, folders):
    keys = [f"f/{number:02}" for number in range(30)]
    for key in keys:
        store.create(key, b"")
    assert [one.key for one in store.list("f/", after="f/19", limit=5, folders=folders).entries] == keys[20:25]
    assert [one.key for one in store.list("f/", after="f/27x", folders=folders).entries] == keys[28:]
    assert proxy.counts["LIST"] == store.requests.snapshot()["list"] == 2


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


def test_connection_refused_is_unavailable_and_says_so():
    url = f"http://127.0.0.1:{closed_port()}/oqkit"
    store = AzureStore(place_of("az://plain/q", endpoint_url=url, environ=os.environ))
    with pytest.raises(Unavailable, match="Connection refused"):
        store.create("a", b"1")


def test_server_that_does_not_list_from_a_name_on_is_refused(azurite_server, monkeypatch):
    """As Azurite before 3.37 did not."""
    store = new_store(azurite_server)
    for key in ("a", "b", "c"):
        store.create(key, b"")
    container = store._connection.container
    from_the_beginning = container.list_blobs

    def list_blobs(*, start_from, **asked):
        return from_the_beginning(**asked)

    monkeypatch.setattr(container, "list_blobs", list_blobs)
    with pytest.raises(Unsupported, match="does not list from a name on"):
        store.list("", after="b")


def test_threads_share_a_store_without_a_word(azurite_server, caplog):
    """The SDK keeps ten connections, and warns of every other one; and it says as INFO what it sends."""
    caplog.set_level(logging.INFO)
    store = new_store(azurite_server)
    with ThreadPoolExecutor(store.parallel) as pool:
        list(pool.map(lambda number: store.create(f"{number}", b""), range(100)))
    assert caplog.messages == []


# --- credentials ---------------------------------------------------------------------------------


def signature(server, **rights):
    """A shared access signature for the container, of an hour from now."""
    return generate_container_sas(
        server.account,
        CONTAINER,
        account_key=server.key,
        permission=ContainerSasPermissions(**rights),
        expiry="2100-01-01T00:00:00Z",
        protocol="https,http",
    )


@pytest.fixture
def signed(azurite_server, azure, direct):
    """A store that may read and list by a signature, and nothing else; and the secret of it."""
    text = signature(azurite_server, read=True, list=True)
    endpoint = azurite_server.endpoint_url
    azure.setenv("AZURE_STORAGE_CONNECTION_STRING", f"BlobEndpoint={endpoint};SharedAccessSignature={text}")
    secret = max(re.findall("[A-Za-z0-9]+", unquote(text.partition("sig=")[2])), key=len)
    return pickle.loads(pickle.dumps(direct)), secret


def test_signature_gives_the_rights_it_says(direct, signed):
    store, _ = signed
    direct.create("a", b"1")
    assert store.read("a").data == b"1"
    assert [one.key for one in store.list("").entries] == ["a"]
    for ask in (lambda: store.create("b", b"1"), lambda: store.delete("a"), lambda: store.delete_many(["a", "b"])):
        with pytest.raises(Denied, match="403 Authorization"):
            ask()


def closed_port():
    """A port on which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def at(url):
    """A store at another address, with the credentials that are configured there."""
    text = os.environ["AZURE_STORAGE_CONNECTION_STRING"]
    environ = re.sub("BlobEndpoint=[^;]*", f"BlobEndpoint={url}", text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", environ)
        return AzureStore(place_of(f"az://{CONTAINER}/q", endpoint_url=None, environ=os.environ), read_timeout_s=0.3)


@pytest.mark.usefixtures("no_backoff")
def test_signature_is_in_no_text_and_no_pickle(signed, azurite_server, proxy):
    store, secret = signed
    shown = [repr(store), str(pickle.dumps(store)), str(store.address()), store.url]
    spoiled = at(f"{proxy.url}/{azurite_server.account}")
    away = at(f"http://127.0.0.1:{closed_port()}/{azurite_server.account}")
    proxy.inject(Fault(FaultKind.RESET_BEFORE, method="PUT", times=1))
    proxy.inject(Fault(FaultKind.STALL, method="LIST", delay_s=1))
    for ask in (
        lambda: spoiled.create("a", b"1"),
        lambda: spoiled.list(""),
        lambda: spoiled.create("a", b"1"),
        lambda: away.list(""),
    ):
        with pytest.raises(StoreError) as caught:
            ask()
        shown += ["".join(traceback.format_exception(caught.value)), repr(caught.value)]
    assert [text for text in shown if secret in text] == []


def test_denied_when_the_key_is_wrong(azurite_server, azure, direct):
    text = os.environ["AZURE_STORAGE_CONNECTION_STRING"].replace(azurite_server.key, "d3Jvbmc=")
    azure.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    with pytest.raises(Denied, match="403 Auth") as caught:
        pickle.loads(pickle.dumps(direct)).read("a")
    assert "d3Jvbmc=" not in str(caught.value)


def test_password_of_netrc_does_not_replace_the_signature(direct, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    direct.create("a", b"1")


@pytest.mark.parametrize(
    "ask", (lambda store: store.list(""), lambda store: store.create("a", b"1"), lambda store: store.read("a"))
)
def test_missing_container_is_named(azurite_server, ask):
    store = AzureStore(place_of("az://nobody-made-me/q", endpoint_url=None, environ=os.environ))
    with pytest.raises(Unsupported, match=r"/nobody-made-me/q answered 404 ContainerNotFound .*Create the container"):
        ask(store)


def test_address_is_all_that_another_process_needs_beside_credentials(azurite_server, azure, direct):
    direct.create("a", b"1")
    azure.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=oqkit;AccountKey={azurite_server.key}")
    assert open_store(Settings(**direct.address())).read("a").data == b"1"
    assert AzureStore(place_of("az://plain/q", endpoint_url=None, environ=os.environ)).address() == {
        "url": "https://oqkit.blob.core.windows.net/plain/q"
    }


# --- time and processes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "error"),
    (
        (lambda store: store.read("a"), None),
        (lambda store: store.read_changed("a", etag=store.read("a").etag), None),
        (lambda store: store.read("absent"), Missing),
        (lambda store: store.create("a", b"2"), Conflict),
    ),
    ids=["200", "304", "404", "409"],
)
def test_now_is_learned_from_every_reply(direct, ask, error):
    direct.create("a", b"1")
    fresh = pickle.loads(pickle.dumps(direct))
    if error is None:
        ask(fresh)
    else:
        with pytest.raises(error):
            ask(fresh)
    assert fresh.server.is_set
    assert fresh.now() == pytest.approx(wall_time(), abs=2)  # the server runs on this machine


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_makes_connections_of_its_own(direct):
    direct.create("a", b"1")
    inherited = direct._connection
    child = os.fork()
    if child == 0:  # nothing but _exit may end it, or the rest of the tests would run twice
        try:
            is_right = direct.read("a").data == b"1" and direct._connection is not inherited
        except BaseException:
            is_right = False
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert direct.read("a").data == b"1"
    assert direct._connection is inherited
