"""How a store on S3 finds its server, its credentials and its objects."""

from __future__ import annotations

import os
import pickle
import socket

import pytest

from oqkit.errors import Denied, Unsupported, UsageError
from oqkit.store.s3 import S3Store
from tests.store.bucket import new_store

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("aws")]


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
