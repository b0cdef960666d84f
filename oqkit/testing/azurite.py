"""Azurite, Microsoft's emulator of Azure Blob Storage, for tests: a process on 127.0.0.1 that ends with the `with` block.

    with azurite() as server:
        server.create_container("container")
        os.environ.update(server.env())
        queue = oq.connect("az://container/prefix")

It takes Node.js and `npm install --global azurite`, version 3.37 or newer.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

from oqkit.testing.process import program, running, status_of

_ACCOUNT = "oqkit"
_KEY = base64.b64encode(b"oqkit-secret").decode()  # opens nothing but a throw-away server on this machine


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
        url, headers = f"{self.endpoint_url}/{name}?restype=container", self._signed(name)
        status = status_of(urllib.request.Request(url, method="PUT", headers=headers))  # noqa: S310 - http, made above
        if status not in {201, 409}:
            raise RuntimeError(f"azurite answered {status} to the creation of container {name!r}")

    def _signed(self, container: str) -> dict[str, str]:
        """Sign the creation of a container: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        said = "\n".join(f"{name}:{value}" for name, value in headers.items())
        text = f"PUT{12 * chr(10)}{said}\n/{self.account}/{self.account}/{container}\nrestype:container"
        mac = hmac.digest(base64.b64decode(self.key), text.encode(), hashlib.sha256)
        return {**headers, "Authorization": f"SharedKey {self.account}:{base64.b64encode(mac).decode()}"}


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
