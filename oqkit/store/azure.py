"""A container of Azure Blob Storage, by the Azure SDK.

What the seam promises rests on these decisions:

* **Nobody retries a conditional write but the caller**, as in `oqkit.store.s3`: an SDK that sends a write again turns a success into a
  refusal. Reads, listings, deletes and unconditional writes mean the same when sent twice, and are.
* **An error is translated into what the caller may conclude**, in `oqkit.store.azure_error`, and none of the SDK's gets out, not as a
  cause either: they show URLs, and a shared access signature is part of those.
* **A write is one request**, however large. The SDK would cut it into blocks; those of the writer who comes second are thrown away by the first
  one's commit, and his own is then an error rather than a refusal.
* **A listing begins at a name** (``startFrom``), which Azure knows from one version of its protocol on: that one is asked for, also by an
  SDK that knows newer ones. A server that ignores it is refused.
"""

from __future__ import annotations

import contextlib
import email.utils
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core import MatchConditions
from azure.core import exceptions as sdk
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.blob import BlobServiceClient, LinearRetry

from oqkit.clock import Clock
from oqkit.errors import Missing, StoreError, Unavailable, Unsupported, UsageError
from oqkit.store.azure_account import Place, find_credential
from oqkit.store.azure_error import BeyondEnd, Unchanged, meaning
from oqkit.store.base import MAX_KEYS, Blob, Entry, Page, Store, Version, check_key, check_prefix

_VERSION = "2026-02-06"  # the first in which a listing can begin at a name
_RETRIES = 2  # of a request that may be sent twice
_MIB = 1 << 20
_MAX_PUT = 5000 * _MIB  # Azure: what one Put Blob may carry
_ALL = 1 << 50  # bytes; more than any blob has, so that a read is one request
_BATCH = 256  # Azure: requests of one batch
_CONNECTIONS = 32
# The SDK tells every request and its reply as INFO, in 30 lines: it is given a logger that nobody listens to.
_UNHEARD = logging.Logger("azure", logging.WARNING)  # noqa: LOG001 - nothing of the application's own logging is changed

_BEHIND_SLASH = chr(ord("/") + 1)  # what sorts behind everything in a folder, and is the least that does


class AzureStore(Store):
    """The blobs of a container whose names begin with a prefix.

    Credentials are found by `oqkit.store.azure_account` in this machine's ``AZURE_*`` variables. Threads may share a store; it can be
    pickled, without its credentials, and a forked child makes its own connections.
    """

    parallel = 16
    no_lifecycle = "on Azure they belong to the storage account, so set its lifecycle management policy"

    def __init__(
        self, place: Place, *, clock: Clock | None = None, connect_timeout_s: float = 3, read_timeout_s: float = 10
    ) -> None:
        super().__init__(place.url, clock=clock)
        self._place = place
        self._root = f"{place.prefix}/" if place.prefix else ""
        self._timeouts_s = (connect_timeout_s, read_timeout_s)
        self._deletes_singly = False
        self._thread = threading.local()
        self._connection = self._connect()

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self._place, self.clock, self._timeouts_s)

    def address(self) -> dict[str, str]:
        return super().address() | ({} if self._place.is_plain else {"endpoint_url": self._place.account_url})

    # --- verbs -----------------------------------------------------------------------------------

    def read(self, key: str) -> Blob:
        return self._get(key)

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        try:
            return self._get(key, etag=etag, match_condition=MatchConditions.IfModified)
        except Unchanged:
            return None

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        if start < 0:  # Azure cannot count from the end, so the size is asked for first
            with self._translated(key):
                start = max(0, self._blob(key).get_blob_properties().size + start)
        try:
            return self._get(key, offset=start, length=max(1, length)).data[:length]
        except BeyondEnd:
            return b""

    def create(self, key: str, data: bytes) -> str:
        return self._put(key, data, overwrite=False, retry_total=0)

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        return self._put(key, data, etag=etag, match_condition=MatchConditions.IfNotModified, retry_total=0)

    def overwrite(self, key: str, data: bytes) -> str:
        return self._put(key, data)

    def delete(self, key: str) -> None:
        with contextlib.suppress(Missing), self._translated(key):
            self._blob(key).delete_blob(delete_snapshots="include")

    def delete_many(self, keys: Iterable[str]) -> None:
        left = list(keys)
        while left:
            batch, left = left[:_BATCH], left[_BATCH:]
            for key in batch if len(batch) == 1 or self._deletes_singly else self._delete_batch(batch):
                self.delete(key)

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, got {limit}")
        limit = min(limit, MAX_KEYS)
        asked: dict[str, Any] = {"name_starts_with": self._root + check_prefix(prefix), "results_per_page": limit}
        start = "" if after is None else _start_of(after, prefix=prefix, folders=folders)
        if start > prefix:
            asked |= {
                "start_from": self._root + start,
                "results_per_page": limit + 1,
            }  # the first may be `after` itself
        with self._translated(prefix):
            client = self._connection_here().container
            found, is_truncated = _one_page(client.walk_blobs(**asked) if folders else client.list_blobs(**asked))
        items = [self._item(item) for item in found]
        if items and _name(items[0]) < start:
            raise Unsupported(f"{self.url} cannot hold a queue: it does not list from a name on (startFrom is ignored)")
        return _cut([item for item in items if _name(item) != after], limit=limit, is_truncated=is_truncated)

    def versions(self, key: str) -> Iterator[Version]:
        name = self._root + check_key(key)
        with self._translated(key):
            found = self._connection_here().container.list_blobs(name_starts_with=name, include=["versions"])
            # names are listed in order, so the key itself comes before all that begin with it
            mine = list(takewhile(lambda blob: blob.name == name, found))
        for blob in sorted(mine, key=lambda blob: blob.version_id or "", reverse=True):
            with contextlib.suppress(Missing):  # it expired since it was listed, so it is no longer part of the past
                chosen = {"version_id": blob.version_id} if blob.version_id else {}
                data = self._get(key, **chosen).data
                modified_s = blob.last_modified.timestamp()
                yield Version(key=key, id=blob.version_id or "null", data=data, modified_s=modified_s)

    # --- requests --------------------------------------------------------------------------------

    def _get(self, key: str, **asked: Any) -> Blob:
        with self._translated(key):
            found = self._blob(key).download_blob(**asked)
            return Blob(key=key, data=found.readall(), etag=found.properties.etag)

    def _put(self, key: str, data: bytes, *, overwrite: bool = True, **asked: Any) -> str:
        timeout_s = self._timeouts_s[1] + len(data) // _MIB  # a second more for each MiB
        with self._translated(key):
            reply = self._blob(key).upload_blob(data, overwrite=overwrite, read_timeout=timeout_s, **asked)
        etag: str = reply["etag"]
        return etag

    def _delete_batch(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete up to 256 blobs in one request, and return those that it did not delete."""
        names = [self._root + check_key(key) for key in keys]
        try:
            with self._translated(keys[0]):
                options = {"delete_snapshots": "include", "raise_on_any_failure": False}
                replies = list(self._connection_here().container.delete_blobs(*names, **options))
        except Unavailable:
            raise
        except StoreError:  # a signature for one container may be good for its blobs, and not for a batch of them
            self._deletes_singly = True
            return keys
        return [key for key, reply in zip(keys, replies, strict=True) if reply.status_code not in {202, 404}]

    def _item(self, item: Any) -> Entry | str:
        name: str = item.name[len(self._root) :]
        if name.endswith("/"):
            return name
        etag = '"{}"'.format(item.etag.strip('"'))  # listings leave out the quotes
        return Entry(key=name, etag=etag, size_bytes=item.size, modified_s=item.last_modified.timestamp())

    # --- connections -----------------------------------------------------------------------------

    def _blob(self, key: str) -> Any:
        return self._connection_here().container.get_blob_client(self._root + check_key(key))

    def _connection_here(self) -> _Connection:
        if self._connection.pid != os.getpid():  # a fork: sockets and locks belong to the parent
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> _Connection:
        session = requests.Session()
        session.auth = _as_signed
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_CONNECTIONS))
        connect_timeout_s, read_timeout_s = self._timeouts_s
        transport = RequestsTransport(
            session=session, session_owner=False, connection_timeout=connect_timeout_s, read_timeout=read_timeout_s
        )
        try:
            service = BlobServiceClient(
                self._place.account_url,
                credential=find_credential(self._place.account_url, environ=os.environ),
                api_version=_VERSION,
                transport=transport,
                retry_policy=LinearRetry(backoff=0, random_jitter_range=1, retry_total=_RETRIES),
                max_single_put_size=_MAX_PUT,
                max_single_get_size=_ALL,
                logger=_UNHEARD,
                raw_request_hook=self._on_send,
                raw_response_hook=self._on_reply,
            )
        except (ValueError, TypeError) as error:
            raise UsageError(f"cannot connect to {self.url}: {error}") from None
        return _Connection(pid=os.getpid(), container=service.get_container_client(self._place.container))

    def _on_send(self, call: Any) -> None:
        """Count every request that goes out, also one that is sent again."""
        self.requests.add(_kind(call.http_request.method, call.http_request.url))
        self._thread.sent = self.clock.monotonic()

    def _on_reply(self, reply: Any) -> None:
        """Observe every date that comes in, also with a refusal."""
        date = email.utils.parsedate_tz(reply.http_response.headers.get("Date"))
        if date is not None:
            date_s = float(email.utils.mktime_tz(date))
            self.server.observe(date_s, sent=self._thread.sent, received=self.clock.monotonic())

    # --- errors ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Let no error of the SDK out."""
        try:
            yield
        except sdk.AzureError as error:
            raise meaning(error, url=self.url, key=key) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    """One process's client of the container."""

    pid: int
    container: Any


def _as_signed(request: Any) -> Any:
    """Leave a request as the SDK signed it; `requests` would put a password of ``~/.netrc`` in place of the signature."""
    return request


def _restore(cls: type[AzureStore], place: Place, clock: Clock, timeouts_s: tuple[float, float]) -> AzureStore:
    return cls(place, clock=clock, connect_timeout_s=timeouts_s[0], read_timeout_s=timeouts_s[1])


# --- listings ------------------------------------------------------------------------------------


def _start_of(after: str, *, prefix: str, folders: bool) -> str:
    """Return the least name from which on to list: `after` itself, or what is behind its folder where those are rolled up."""
    slash = after.find("/", len(prefix)) if folders else -1
    return after if slash < 0 else after[:slash] + _BEHIND_SLASH


def _name(item: Entry | str) -> str:
    return item if isinstance(item, str) else item.key


def _one_page(found: Any) -> tuple[list[Any], bool]:
    """Return what one page of a listing has, in order, and whether there is more. Azure may give an empty one of many: ask on."""
    pages = found.by_page()
    items: list[Any] = []
    while not items:
        items = sorted(next(pages), key=attrgetter("name"))  # folders and blobs come apart
        if not pages.continuation_token:
            return items, False
    return items, True


def _cut(items: Sequence[Entry | str], *, limit: int, is_truncated: bool) -> Page:
    kept = items[:limit]
    return Page(
        entries=tuple(item for item in kept if isinstance(item, Entry)),
        folders=tuple(item for item in kept if isinstance(item, str)),
        next=_name(kept[-1]) if kept and (is_truncated or len(items) > limit) else None,
    )


def _kind(method: str, url: str) -> str:
    if method in {"GET", "HEAD"}:
        return "list" if "comp=list" in urlsplit(url).query else "get"
    return "put" if method == "PUT" else "delete"
