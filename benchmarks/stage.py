"""What scenarios share: one S3 server for all contenders, counted and slowed like S3, and where figures are kept."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from peer import python_of
from talk import Client

from oqkit.testing.fault import S3_LATENCY_S
from oqkit.testing.proxy import FaultProxy
from oqkit.testing.server import S3Server, seaweedfs

FIGURES = Path(__file__).parents[1] / "build" / "bench"
SLOW_S = {method: S3_LATENCY_S[method] for method in ("PUT", "GET", "LIST", "HEAD")}


@dataclass(frozen=True, slots=True)
class Stage:
    """A running server."""

    server: S3Server

    def client(self, name: str, bucket: str, *, endpoint: str | None = None) -> Client:
        """Start a process of a contender, connected to its bucket."""
        self.server.create_bucket(bucket)
        if name == "buquet":
            self._keep_versions(bucket)  # it refuses a bucket without them
        python = None if name == "oqkit" else python_of(name)
        client = Client(name, python=python, **self.server.env())
        client.ask("open", endpoint=endpoint or self.server.endpoint_url, bucket=bucket)
        return client

    def _keep_versions(self, bucket: str) -> None:
        s3 = boto3.client(
            "s3",
            endpoint_url=self.server.endpoint_url,
            region_name=self.server.region,
            aws_access_key_id=self.server.access_key,
            aws_secret_access_key=self.server.secret_key,
        )
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    @contextlib.contextmanager
    def proxy(self, *, slow: bool) -> Iterator[FaultProxy]:
        """Run a proxy that counts, and with `slow` adds the latency of S3."""
        with FaultProxy(self.server.endpoint_url, latency_s=SLOW_S if slow else None) as proxy:
            yield proxy


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Run SeaweedFS with its data in memory where there is shared memory."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="oqkit-bench-", dir=memory) as folder, seaweedfs(folder) as server:
        yield Stage(server)


def kinds(counts: Counter[str]) -> dict[str, int]:
    """Name requests as prices do: a HEAD costs what a GET does."""
    named = {"PUT": "put", "POST": "put", "GET": "get", "HEAD": "get", "LIST": "list", "DELETE": "delete"}
    out: Counter[str] = Counter()
    for method, n in counts.items():
        out[named[method]] += n
    return dict(out)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def save(name: str, figures: dict[str, Any]) -> None:
    """Keep the figures of a scenario."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    path = FIGURES / f"{name}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{name}: {path}")
