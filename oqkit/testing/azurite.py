"""Azurite, Microsoft's emulator of Azure Blob Storage, for tests: a process on 127.0.0.1 that ends with the `with` block.

    with azurite() as server:
        server.create_container("container")
        os.environ.update(server.env())
        queue = oq.connect("az://container/prefix")

It takes Node.js and `npm install --global azurite`, version 3.37 or newer, and ``pip install 'oqkit[azure]'``.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient

from oqkit.testing.process import program, running

_ACCOUNT = "oqkit"
_KEY = base64.b64encode(b"oqkit-secret").decode()  # opens nothing but a throw-away server on this machine
_VERSION = "2026-02-06"  # this SDK may know newer ones than this Azurite


@dataclass(frozen=True, slots=True, kw_only=True)
class AzuriteServer:
    """A running server and how to reach it; `endpoint_url` is the address of its one account."""

    endpoint_url: str
    pid: int
    account: str = _ACCOUNT
    key: str = _KEY

    def env(self, *, endpoint_url: str | None = None) -> dict[str, str]:
        """Return the variables that point oqkit at this server, or at a proxy before it."""
        said = {"AccountName": self.account, "AccountKey": self.key, "BlobEndpoint": endpoint_url or self.endpoint_url}
        return {"AZURE_STORAGE_CONNECTION_STRING": ";".join(f"{name}={value}" for name, value in said.items())}

    def create_container(self, name: str) -> None:
        """Make a container; one that is already there is fine."""
        service = BlobServiceClient.from_connection_string(*self.env().values(), api_version=_VERSION)
        with service, contextlib.suppress(ResourceExistsError):
            service.create_container(name)


@contextlib.contextmanager
def azurite() -> Iterator[AzuriteServer]:
    """Run Azurite, in memory. It honours conditions, also in races."""
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort"]
    command = [program("azurite-blob", package="npm install --global azurite"), *options]
    with running(
        "azurite",
        lambda port: [*command, str(port)],
        env=lambda _: {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"},
    ) as (url, pid):
        yield AzuriteServer(endpoint_url=f"{url}/{_ACCOUNT}", pid=pid)
