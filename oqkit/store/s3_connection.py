"""How S3 is reached: one process's clients of the SDK."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore import exceptions as sdk
from botocore.config import Config
from botocore.loaders import create_loader

from oqkit.errors import UsageError

_MIB = 1 << 20
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """How to reach the bucket; None leaves it to what boto3 finds."""

    endpoint_url: str | None
    region: str | None
    profile: str | None
    addressing_style: str | None
    connect_timeout_s: float
    read_timeout_s: float


class S3Connection:
    """One process's clients: they differ in how often they send a request and how long they wait for the reply."""

    def __init__(self, options: S3Options, *, events: dict[str, Callable[..., None]]) -> None:
        self.pid = os.getpid()
        self._options = options
        self._lock = threading.Lock()
        self._clients: dict[tuple[int, float], Any] = {}
        self._checksums: dict[str, str] = {}
        try:
            self._session = botocore.session.Session(profile=options.profile)
            self._session.register_component("data_loader", _loader(self._session.get_config_variable("data_path")))
            for event, listener in events.items():
                self._session.register(event, listener)
            host = urlsplit(self._new_client(1, options.read_timeout_s).meta.endpoint_url).hostname or ""
        except (sdk.BotoCoreError, ValueError) as error:
            raise UsageError(f"cannot connect to S3: {error}") from error
        if not host.endswith(_AWS_HOSTS):  # many other servers refuse the checksums that boto3 adds by default
            choices = ("request_checksum_calculation", "response_checksum_validation")
            self._checksums = dict.fromkeys(choices, "when_required")

    def client(self, *, attempts: int, size_bytes: int) -> object:
        """Return the client for a request of this size, which gets a second more for each MiB.

        Sizes are rounded up to a power of two, so that there are few clients.
        """
        doublings = (max(size_bytes, _MIB) // _MIB - 1).bit_length()
        timeout_s = self._options.read_timeout_s + (1 << doublings if doublings else 0)
        with self._lock:
            if (attempts, timeout_s) not in self._clients:
                self._clients[attempts, timeout_s] = self._new_client(attempts, timeout_s)
            return self._clients[attempts, timeout_s]

    def digest(self, data: bytes) -> dict[str, str]:
        """Let a server see that a body is whole (the SDK does, for AWS): SeaweedFS keeps what a killed client cut."""
        md5 = hashlib.md5(data, usedforsecurity=False).digest() if self._checksums else None
        return {"ContentMD5": base64.b64encode(md5).decode()} if md5 else {}

    def _new_client(self, attempts: int, timeout_s: float) -> Any:
        style = self._options.addressing_style
        return self._session.create_client(
            "s3",
            endpoint_url=self._options.endpoint_url,
            region_name=self._options.region or self._session.get_config_variable("region") or "us-east-1",
            config=Config(
                retries={"mode": "standard", "total_max_attempts": attempts},
                connect_timeout=self._options.connect_timeout_s,
                read_timeout=timeout_s,
                max_pool_connections=32,
                tcp_keepalive=True,
                s3={"addressing_style": style} if style else None,
                **self._checksums,
            ),
        )


@functools.cache
def _loader(data_path: str | None) -> object:
    """Return the SDK's description of S3; reading it takes 0.1 s, so all stores of a process share it."""
    return create_loader(data_path)
