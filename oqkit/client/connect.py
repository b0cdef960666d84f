"""From a URL to a queue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from oqkit.client.queue import Queue
from oqkit.config import Settings, settings
from oqkit.config import data_roots as read_data_roots
from oqkit.observe.observer import Observer

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
    data_roots: str | Iterable[str] | Mapping[str, Mapping[str, object]] | None = None,
    observers: Iterable[Observer] = (),
    create: bool = True,
) -> Queue:
    """Open a queue, creating it if it is new, and make it the default for ``oq.submit`` and the others.

    `url` is ``s3://bucket/prefix``, ``az://container/prefix`` (Azure), ``file:///dir`` (or a path), or ``memory://name``;
    without one it comes from ``OQ_URL``, then ``oq.toml``, then it is a directory in your home. Credentials are
    those that boto3 finds, or the ``AZURE_*`` variables say. `profile` names a table of ``oq.toml``, `aws_profile` one of the AWS files.
    `data_roots` are the folders and buckets, beside the queue's own, from which files are read because a job asks
    for it: ``["/srv/data", "s3://orders"]``, or a dict whose values are what `fsspec` opens them with.
    `observers` are functions that are told, by the events of `oqkit.observe.event`, what this process submits, orders and
    runs; ``OQ_OBSERVERS`` names more, of installed packages.
    With ``create=False`` a queue that is not there is `UnknownQueue`, and nothing is written.
    Raise `Unsupported` if the store ignores conditional writes, for then it cannot hold a queue.
    """
    given = Settings(
        url=None if url is None else os.fspath(url),
        endpoint_url=endpoint_url,
        region=region,
        aws_profile=aws_profile,
        addressing_style=addressing_style,
        data_roots=None if data_roots is None else read_data_roots(data_roots),
    )
    queue = Queue.opened(settings(given, profile=profile), shards=shards, observers=observers, create=create)
    _default[:] = [queue]
    return queue


def default_queue() -> Queue:
    """Return the queue that was connected last, or connect."""
    return _default[0] if _default else connect()
