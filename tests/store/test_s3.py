from __future__ import annotations

import contextlib
import functools
import os
import pickle
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import ClassVar

import boto3
import botocore.endpoint
import pytest

from oqkit.clock import new_id, system_random, wall_time
from oqkit.errors import Conflict, Denied, Missing, StoreError, Unavailable, Unsupported, UsageError
from oqkit.store.base import Store
from oqkit.store.probe import probe
from oqkit.store.s3 import S3Store
from oqkit.testing.contract import StoreContract
from oqkit.testing.fault import Fault, FaultKind
from oqkit.testing.proxy import FaultProxy
from oqkit.testing.race import StoreRaces
from oqkit.testing.server import S3Server

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("aws")]


@functools.cache
def make_bucket(server: S3Server, name: str, *, is_versioned: bool = False) -> None:
    server.create_bucket(name)
    if is_versioned:
        with contextlib.closing(
            boto3.client("s3", endpoint_url=server.endpoint_url, region_name=server.region)
        ) as client:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def new_store(server: S3Server, *, bucket: str = "plain", **options: object) -> S3Store:
    """An empty store: a prefix of its own."""
    make_bucket(server, bucket, is_versioned=bucket == "versioned")
    return S3Store(bucket, new_id(system_random()), **{"endpoint_url": server.endpoint_url, **options})


class S3Contract(StoreContract):
    """The contract, less what a server is known to get wrong."""

    keeps_versions = False
    n_race_keys = 5
    n_increments = 8
    known_faults: ClassVar[dict[str, str]] = {}

    @pytest.fixture(autouse=True)
    def skip_known_faults(self, request):
        if reason := self.known_faults.get(request.function.__name__):
            pytest.skip(reason)

    @pytest.fixture
    def another_client(self, store):
        return pickle.loads(pickle.dumps(store))


class TestS3StoreOnSeaweed(S3Contract):
    n_race_keys = 3  # losers of a race can wait 1 to 4 s for their answer
    known_faults: ClassVar = {
        "test_list_shows_no_folder_whose_keys_are_deleted": "SeaweedFS goes on listing a folder whose keys are deleted"
    }

    @pytest.fixture
    def store(self, seaweed):
        return new_store(seaweed)


@pytest.mark.slow
class TestS3StoreOnVersionedSeaweed(S3Contract):
    keeps_versions = True
    n_race_keys = 3
    known_faults: ClassVar = {
        **TestS3StoreOnSeaweed.known_faults,
        "test_replace_never_revives_an_object_when_deletes_race": (
            "SeaweedFS 4.48, with versioning: a delete that races with replaces is answered 204 and can leave no trace"
        ),
    }

    @pytest.fixture
    def store(self, seaweed):
        return new_store(seaweed, bucket="versioned")


class TestS3StoreOnMinistack(S3Contract):
    @pytest.fixture
    def store(self, ministack_server):
        return new_store(ministack_server)


class TestS3StoreOnVersionedMinistack(S3Contract):
    keeps_versions = True

    @pytest.fixture
    def store(self, ministack_server):
        return new_store(ministack_server, bucket="versioned")


class TestS3StoreOnMoto(S3Contract):
    known_faults: ClassVar = dict.fromkeys(
        vars(StoreRaces), "moto tests a condition and then acts without a lock: it is no judge of races"
    )

    @pytest.fixture
    def store(self, moto_server):
        return new_store(moto_server)


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
    assert proxy.counts["PUT"] == store.requests.snapshot()["put"] == 1


@failing
def test_replace_is_sent_once_and_unavailable_when_it_fails(store, proxy, fault):
    etag = store.create("a", b"1")
    proxy.inject(fault)
    with pytest.raises(Unavailable):
        store.replace("a", b"2", etag=etag)
    assert proxy.counts["PUT"] == store.requests.snapshot()["put"] == 2


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
    assert proxy.counts["PUT"] == store.requests.snapshot()["put"] == 3


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
    assert proxy.counts[method] == store.requests.snapshot()[kind] == 3


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
    assert proxy.counts["POST"] == 3


def test_read_is_unavailable_when_all_retries_fail(store, proxy):
    proxy.inject(Fault(FaultKind.RESET_BEFORE, method="GET"))
    with pytest.raises(Unavailable):
        store.read("a")
    assert proxy.counts["GET"] == 3


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


# --- connecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "host"), (("path", "localhost"), ("virtual", "plain.localhost")), ids=["path", "virtual"]
)
def test_addressing_style_decides_where_the_bucket_is_named(seaweed, aws, style, host):
    asked = set()

    def resolve(name, port, *_args, **_options):
        asked.add(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    url = seaweed.endpoint_url.replace("127.0.0.1", "localhost")
    store = new_store(seaweed, endpoint_url=url, addressing_style=style)
    aws.setattr(socket, "getaddrinfo", resolve)
    store.create("a", b"1")
    assert store.read("a").data == b"1"
    assert asked == {host}


@pytest.mark.parametrize("name", ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"))
def test_endpoint_is_found_in_the_environment(seaweed, aws, name):
    aws.setenv(name, seaweed.endpoint_url)
    store = new_store(seaweed, endpoint_url=None)
    store.create("a", b"1")
    assert store.read("a").data == b"1"


def test_profile_gives_credentials_and_endpoint(seaweed, aws, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        f"[profile lab]\nendpoint_url = {seaweed.endpoint_url}\nregion = eu-west-1\n"
        f"aws_access_key_id = {seaweed.access_key}\naws_secret_access_key = {seaweed.secret_key}\n"
    )
    aws.setenv("AWS_CONFIG_FILE", str(config))
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    store = new_store(seaweed, endpoint_url=None, profile="lab")
    store.create("a", b"1")
    assert store._client().meta.region_name == "eu-west-1"


@pytest.mark.parametrize(
    ("endpoint_url", "is_default"),
    ((None, True), ("https://s3.eu-west-1.amazonaws.com", True), ("https://minio.example.com", False)),
)
def test_checksums_are_those_of_boto3_on_aws_alone(endpoint_url, is_default):
    config = S3Store("plain", endpoint_url=endpoint_url)._client().meta.config
    assert (config.request_checksum_calculation == "when_supported") is is_default


def test_region_is_us_east_1_when_none_is_set(seaweed):
    assert new_store(seaweed)._client().meta.region_name == "us-east-1"


@pytest.mark.parametrize("options", ({"profile": "absent"}, {"endpoint_url": "nonsense"}, {"region": "not a region"}))
def test_wrong_options_are_a_usage_error(options):
    with pytest.raises(UsageError):
        S3Store("plain", **options)


def test_denied_when_the_secret_is_wrong(seaweed, aws):
    aws.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Denied, match="SignatureDoesNotMatch"):
        new_store(seaweed).read("a")


def test_denied_when_there_are_no_credentials(seaweed, aws):
    aws.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Denied, match="AWS_ACCESS_KEY_ID"):
        new_store(seaweed).create("a", b"1")


@pytest.mark.parametrize(
    "ask", (lambda store: store.list(""), lambda store: store.create("a", b"1"), lambda store: store.read("a"))
)
def test_missing_bucket_is_named(seaweed, ask):
    with pytest.raises(Unsupported, match="bucket 'nobody-made-me' does not exist: create it first"):
        ask(S3Store("nobody-made-me", endpoint_url=seaweed.endpoint_url))


def test_keys_are_below_the_prefix(seaweed):
    store = new_store(seaweed)
    store.create("a/b", b"1")
    bucket, prefix = store.url.removeprefix("s3://").split("/")
    assert S3Store(bucket, endpoint_url=seaweed.endpoint_url).read(f"{prefix}/a/b").data == b"1"
    assert S3Store(bucket, f"/{prefix}/a/", endpoint_url=seaweed.endpoint_url).read("b").data == b"1"


def test_pickled_store_reaches_the_same_objects(seaweed):
    store = new_store(seaweed)
    store.create("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.url == store.url
    assert copy.read("a").data == b"1"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_child_makes_connections_of_its_own(seaweed):
    store = new_store(seaweed)
    store.create("a", b"1")
    inherited = store._connection
    child = os.fork()
    if child == 0:  # nothing but _exit may end it, or the rest of the tests would run twice
        try:
            is_right = store.read("a").data == b"1" and store._connection is not inherited
        except BaseException:
            is_right = False
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.read("a").data == b"1"
    assert store._connection is inherited


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_versions_go_on_over_many_pages(ministack_server):
    store = new_store(ministack_server, bucket="versioned")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.overwrite("a", b"%d" % number), range(1003)))
    store.create("a.json", b"another")
    versions = list(store.versions("a"))
    assert sorted(int(version.data) for version in versions) == list(range(1003))
    assert versions[0].data == store.read("a").data


def test_versions_outlive_the_object(seaweed):
    store = new_store(seaweed, bucket="versioned")
    store.create("a", b"1")
    store.delete("a")
    assert [version.data for version in store.versions("a")] == [b"1"]


def test_versions_are_the_present_alone_when_the_server_has_none(rclone_server):
    store = new_store(rclone_server)
    store.overwrite("a", b"1")
    assert [version.data for version in store.versions("a")] == [b"1"]
    assert list(store.versions("absent")) == []


# --- which stores can hold a queue ---------------------------------------------------------------


@pytest.mark.parametrize("name", ("seaweed", "ministack_server"))
def test_probe_accepts_a_server_that_honours_conditions(request, name):
    store = new_store(request.getfixturevalue(name))
    probe(store, rng=system_random())
    assert store.list("").entries == ()


def test_probe_refuses_a_server_that_ignores_conditions(rclone_server):
    store = new_store(rclone_server)
    with pytest.raises(Unsupported, match="cannot hold a queue: it created an object that existed"):
        probe(store, rng=system_random())
    assert store.list("").entries == ()
