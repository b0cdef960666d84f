"""Buckets on the servers of the tests."""

from __future__ import annotations

import contextlib
import functools

import boto3

from oqkit.clock import new_id, system_random
from oqkit.store.s3 import S3Store
from oqkit.testing.server import S3Server


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
