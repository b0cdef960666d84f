"""From the scheme of a URL to a store: those that come with oqkit, and those of installed packages.

A package adds one by an entry point of the group ``oqkit.stores``: its name is the scheme, and it is a
`StoreFactory`. An installed package cannot replace a scheme that is built in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from oqkit.config import Settings
from oqkit.errors import UnknownQueue, UsageError
from oqkit.plugin import load_entry_point
from oqkit.queue import key as keys
from oqkit.store.azure_account import place_of
from oqkit.store.base import Store
from oqkit.store.directory import DirectoryStore
from oqkit.store.memory import MemoryStore

GROUP = "oqkit.stores"

StoreFactory = Callable[[Settings], Store]
"""Makes the store that the settings name (``settings.url`` first of all); raises `UsageError` if they name none."""


def open_store(chosen: Settings, *, create: bool = True) -> Store:
    """Return the store that the settings name; with ``create=False`` a directory that is not there is `UnknownQueue`."""
    url = chosen.url or ""
    scheme = urlsplit(url).scheme
    if scheme in _BUILT_IN:
        return _BUILT_IN[scheme](chosen)
    if scheme != "file" and "://" in url:
        return _factory(url, scheme)(chosen)
    path = _folder(url) if scheme == "file" else Path(url).expanduser()
    if not (create or path.is_dir()):
        raise UnknownQueue(path.absolute().as_uri())  # before it is opened, which would make it
    return DirectoryStore(path, unversioned=keys.UNVERSIONED)


def _factory(url: str, scheme: str) -> StoreFactory:
    factory: StoreFactory | None
    factory, others = load_entry_point(GROUP, scheme)
    if factory is None:
        raise UsageError(
            f"{url!r} is not a queue: use s3://bucket/prefix, az://container/prefix, file:///dir, a path, or memory://name"
            + (f"; installed packages add {', '.join(f'{name}://' for name in others)}" if others else "")
        )
    return factory


def _folder(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise UsageError(f"{url!r}: write file:///dir, with three slashes, for a local directory")
    return Path(url2pathname(parts.path))


def _memory(chosen: Settings) -> Store:
    parts = urlsplit(chosen.url or "")
    return MemoryStore.named(parts.netloc + parts.path)


def _s3(chosen: Settings) -> Store:
    from oqkit.store.s3 import S3Store  # boto3 takes 0.3 s to import; directories do without

    parts = urlsplit(chosen.url or "")
    if not parts.netloc:
        raise UsageError(f"{chosen.url!r} names no bucket: use s3://bucket/prefix")
    return S3Store(
        parts.netloc,
        parts.path.strip("/"),
        endpoint_url=chosen.endpoint_url,
        region=chosen.region,
        profile=chosen.aws_profile,
        addressing_style=chosen.addressing_style,
    )


def _azure(chosen: Settings) -> Store:
    place = place_of(chosen.url or "", endpoint_url=chosen.endpoint_url, environ=os.environ)
    try:
        from oqkit.store.azure import AzureStore  # the Azure SDK is optional, and takes as long to import as boto3
    except ImportError as error:
        raise UsageError(f"{chosen.url!r} needs the Azure SDK: pip install 'oqkit[azure]' ({error})") from None
    return AzureStore(place)


_BUILT_IN: dict[str, StoreFactory] = {
    "memory": _memory,
    "s3": _s3,
    "az": _azure,
    "https": _azure,  # the address of an account, as Azure shows it
    "http": _azure,  # of an emulator
}
