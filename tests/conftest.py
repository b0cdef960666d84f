"""What all tests can ask for: queues and workers of this process, and real S3 servers.

There is one server of each kind for a whole run of the tests (for each worker under xdist), started when first asked for.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from oqkit.testing.azurite import AzuriteServer, azurite
from oqkit.testing.server import S3Server, ministack, moto, rclone, seaweedfs
from tests.call import gate
from tests.local import folder_queue, queue, quick_news, start

__all__ = ["folder_queue", "gate", "queue", "quick_news", "start"]  # fixtures

settings.register_profile("oqkit", deadline=None)  # a busy machine is no failure
settings.load_profile("oqkit")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell in whose background this runs; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SHARED_MEMORY = Path("/dev/shm")


@pytest.hookimpl(trylast=True)  # after that of pytest-xdist
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests with a mark `xdist_group` be dealt out by it also by pytest 9.2 (github.com/pytest-dev/pytest-xdist/issues/1386)."""
    for item in items:
        named = getattr(item, "_nodeid", item.nodeid)
        if named != item.nodeid:
            item._id = type(item._id).parse(named)


@pytest.fixture(scope="session")
def seaweed() -> Iterator[S3Server]:
    """The server to believe: a real store, whose races are right."""
    memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="oqkit-seaweed-", dir=memory) as directory, seaweedfs(directory) as server:
        yield server


@pytest.fixture(scope="session")
def ministack_server() -> Iterator[S3Server]:
    """A second implementation: quick, and with the status codes of AWS."""
    with ministack() as server:
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """A third one, that races confuse."""
    with moto() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server() -> Iterator[S3Server]:
    """A server that takes conditions and ignores them."""
    with rclone() as server:
        yield server


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[AzuriteServer]:
    """The emulator of Azure Blob Storage; where there is no npm to install it with, what it would have tested is left out."""
    pytest.importorskip("azure.storage.blob", reason="no Azure SDK: pip install 'oqkit[azure]'")
    try:
        with azurite() as server:
            yield server
    except FileNotFoundError as error:
        pytest.skip(f"the store on Azure is not tested: {error} (`make azurite`)")


@pytest.fixture
def azure(azurite_server: AzuriteServer, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let oqkit find the credentials of the emulator, and nothing else of this machine's."""
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    for name, value in azurite_server.env().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let boto3 find the credentials of the servers above, and nothing else of this machine's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    credentials = S3Server(name="any", endpoint_url="", pid=0).env()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.setenv(name, credentials[name])
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return monkeypatch
