"""From a URL to a queue."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from oqkit.client.queue import Queue
from oqkit.config import Settings, settings
from oqkit.errors import UsageError
from oqkit.queue.repository import open_repository
from oqkit.store.base import Store
from oqkit.store.directory import DirectoryStore
from oqkit.store.memory import MemoryStore

_default: list[Queue] = []


def connect(
    url: str | os.PathLike[str] | None = None,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    profile: str | None = None,
    aws_profile: str | None = None,
    addressing_style: str | None = None,
    shards: int | None = None,
) -> Queue:
    """Open a queue, creating it if it is new, and make it the default for ``oq.submit`` and the others.

    `url` is ``s3://bucket/prefix``, ``file:///dir`` (or a path), or ``memory://name``; without one it
    comes from ``OQ_URL``, then ``oq.toml``, then it is a directory in your home. Credentials are
    those that boto3 finds. `profile` names a table of ``oq.toml``, `aws_profile` one of the AWS files.
    Raise `Unsupported` if the store ignores conditional writes, for then it cannot hold a queue.
    """
    given = Settings(
        url=None if url is None else os.fspath(url),
        endpoint_url=endpoint_url,
        region=region,
        aws_profile=aws_profile,
        addressing_style=addressing_style,
    )
    chosen = settings(given, profile=profile)
    queue = Queue(open_repository(open_store(chosen), shards=shards), chosen)
    _default[:] = [queue]
    return queue


def default_queue() -> Queue:
    """Return the queue that was connected last, or connect."""
    return _default[0] if _default else connect()


def open_store(chosen: Settings) -> Store:
    """Return the store that the settings name."""
    url = chosen.url or ""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        return _s3(chosen, bucket=parts.netloc, prefix=parts.path.strip("/"))
    if parts.scheme == "memory":
        return MemoryStore.named(parts.netloc + parts.path)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise UsageError(f"{url!r}: write file:///dir, with three slashes, for a local directory")
        return DirectoryStore(Path(url2pathname(parts.path)))
    if "://" in url:
        raise UsageError(f"{url!r} is not a queue: use s3://bucket/prefix, file:///dir, a path, or memory://name")
    return DirectoryStore(Path(url))


def _s3(chosen: Settings, *, bucket: str, prefix: str) -> Store:
    from oqkit.store.s3 import S3Store  # boto3 takes 0.3 s to import; directories do without

    if not bucket:
        raise UsageError(f"{chosen.url!r} names no bucket: use s3://bucket/prefix")
    return S3Store(
        bucket,
        prefix,
        endpoint_url=chosen.endpoint_url,
        region=chosen.region,
        profile=chosen.aws_profile,
        addressing_style=chosen.addressing_style,
    )
