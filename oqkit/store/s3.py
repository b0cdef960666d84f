"""A bucket behind the S3 protocol: the only file that knows boto3.

What the seam promises rests on four decisions about boto3:

* **Nobody retries a conditional write but the caller.** The SDK's own retry turns a write that was
  applied, and whose reply was lost, into a 412. So those run on clients that send once. Reads, listings,
  deletes and unconditional writes mean the same when sent twice: those clients retry.
* **A status is translated into what the caller may conclude** (`_refusal`). In particular 409 is
  `Unavailable`: S3 says "somebody is writing now", which tells neither "exists" nor "lost".
* **Every request that goes out is counted, and every date that comes in is observed**, by listening to
  the SDK's events: so retries are counted, and also a 304, a 404 and a 412 tell the time.
* **Listings are parsed by `listing`.** The SDK spends nearly all of a listing on timestamps and owners that
  nobody asked for.
"""

from __future__ import annotations

import contextlib
import dataclasses
import email.utils
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from oqkit.clock import Clock
from oqkit.errors import Conflict, Denied, Missing, StoreError, Unavailable, Unsupported, UsageError
from oqkit.store.base import MAX_KEYS, Blob, Page, Store, Version, check_key, check_prefix
from oqkit.store.lifecycle import Lifecycle
from oqkit.store.list_reply import parse_listing
from oqkit.store.s3_connection import S3Connection, S3Options

_ATTEMPTS = 3  # of a request that may be sent twice
_MIB = 1 << 20
_LAST = "\U0010ffff"  # sorts behind everything in a folder
_KINDS = {
    "PutObject": "put", "DeleteObject": "delete", "DeleteObjects": "delete",
    "ListObjectsV2": "list", "ListObjectVersions": "list",
}  # fmt: skip

_NO_CREDENTIALS = (sdk.CredentialRetrievalError, sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.SSOError)
# The request may or may not have arrived.
_NO_ANSWER = (
    sdk.ConnectionError,
    sdk.FlexibleChecksumError,
    sdk.HTTPClientError,
    sdk.IncompleteReadError,
    ResponseParserError,
    ET.ParseError,
    HTTPError,  # botocore reads the body of an error reply outside of its own handling
)

_BUSY = {
    "InternalError", "OperationAborted", "ConditionalRequestConflict", "RequestLimitExceeded", "RequestTimeout",
    "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
}  # fmt: skip
_DENIED = {"AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
_ELSEWHERE = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}


class S3Store(Store):
    """The objects under ``s3://bucket/prefix``.

    Credentials, region and endpoint are found as boto3 finds them: arguments, then the environment
    (``AWS_PROFILE``, ``AWS_ENDPOINT_URL_S3`` …), then the profile's files, then the machine's role. Threads
    may share a store; it can be pickled, and a forked child makes its own connections.
    """

    parallel = 16

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        profile: str | None = None,
        addressing_style: str | None = None,
        clock: Clock | None = None,
        connect_timeout_s: float = 3,
        read_timeout_s: float = 10,
    ) -> None:
        prefix = prefix.strip("/")
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"), clock=clock)
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._options = S3Options(
            endpoint_url=endpoint_url,
            region=region,
            profile=profile,
            addressing_style=addressing_style,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
        )
        self._deletes_singly = False
        self._thread = threading.local()
        self._connection = self._connect()

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (
            type(self),
            self._bucket,
            self._root,
            {"clock": self.clock, **dataclasses.asdict(self._options)},
        )

    def address(self) -> dict[str, str]:
        options = {"endpoint_url": self._options.endpoint_url, "region": self._options.region}
        return {**super().address(), **{name: value for name, value in options.items() if value}}

    # --- verbs -----------------------------------------------------------------------------------

    def read(self, key: str) -> Blob:
        with self._translated(key):
            return self._get(key)

    def read_changed(self, key: str, *, etag: str) -> Blob | None:
        with self._translated(key):
            try:
                return self._get(key, IfNoneMatch=etag)
            except sdk.ClientError as error:
                if _status(error) == 304:
                    return None
                raise

    def read_range(self, key: str, *, start: int, length: int) -> bytes:
        last = "" if start < 0 else max(start, start + length - 1)  # HTTP cannot ask for no bytes: ask for one
        with self._translated(key):
            try:
                return self._get(key, Range=f"bytes={start}{'-' if start >= 0 else ''}{last}").data[:length]
            except sdk.ClientError as error:
                if _status(error) == 416:  # beyond the end
                    return b""
                raise

    def create(self, key: str, data: bytes) -> str:
        return self._put(key, data, attempts=1, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        return self._put(key, data, attempts=1, IfMatch=etag)

    def overwrite(self, key: str, data: bytes) -> str:
        return self._put(key, data, attempts=_ATTEMPTS)

    def delete(self, key: str) -> None:
        with contextlib.suppress(Missing), self._translated(key):
            self._client().delete_object(**self._names(key))

    def delete_many(self, keys: Iterable[str]) -> None:
        left = list(keys)
        while left:
            batch, left = left[:MAX_KEYS], left[MAX_KEYS:]
            for key in batch if len(batch) == 1 or self._deletes_singly else self._delete_batch(batch):
                self.delete(key)

    def list(self, prefix: str, *, after: str | None = None, limit: int = 1000, folders: bool = False) -> Page:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, got {limit}")
        asked = {"Bucket": self._bucket, "Prefix": self._root + check_prefix(prefix), "MaxKeys": min(limit, MAX_KEYS)}
        if folders:
            asked["Delimiter"] = "/"
        if after is not None:
            asked["StartAfter"] = self._root + _end_of(after, prefix=prefix, folders=folders)
        with self._translated(prefix):
            page: Page = self._client().list_objects_v2(**asked)["Page"]
        return page

    def versions(self, key: str) -> Iterator[Version]:
        for chosen in self._past(key):
            with contextlib.suppress(Missing):  # it expired since it was listed, so it is no longer part of the past
                yield self._version(key, **chosen)

    def lifecycle(self) -> Lifecycle:
        with contextlib.suppress(Missing), self._translated("its lifecycle rules"):
            reply = self._client().get_bucket_lifecycle_configuration(Bucket=self._bucket)
            reply.pop("ResponseMetadata")
            return Lifecycle(root=self._root, rules=reply.pop("Rules", []), others=reply)
        return Lifecycle(root=self._root)

    def set_lifecycle(self, lifecycle: Lifecycle) -> None:
        what = {"LifecycleConfiguration": {"Rules": list(lifecycle.rules)}, **lifecycle.others}
        with self._translated("its lifecycle rules"):
            self._client().put_bucket_lifecycle_configuration(Bucket=self._bucket, **what)

    # --- requests --------------------------------------------------------------------------------

    def _delete_batch(self, keys: Sequence[str]) -> Sequence[str]:
        """Delete up to 1,000 objects in one request, and return those that it refused."""
        what = {"Objects": [{"Key": self._names(key)["Key"]} for key in keys], "Quiet": True}
        try:
            with self._translated(keys[0]):
                reply = self._client().delete_objects(Bucket=self._bucket, Delete=what)
        except Unavailable:
            raise
        except StoreError:  # not every server knows this request, or the checksum that the SDK sends with it
            self._deletes_singly = True
            return keys
        return [error["Key"].removeprefix(self._root) for error in reply.get("Errors", [])]

    def _names(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._root + check_key(key)}

    def _get(self, key: str, **conditions: str) -> Blob:
        reply = self._client().get_object(**self._names(key), **conditions)
        with contextlib.closing(reply["Body"]) as body:
            return Blob(key=key, data=body.read(), etag=reply["ETag"])

    def _put(self, key: str, data: bytes, *, attempts: int, **conditions: str) -> str:
        with self._translated(key):
            client = self._client(attempts=attempts, size_bytes=len(data))
            digest = self._connection.digest(data)
            etag: str = client.put_object(**self._names(key), Body=data, **digest, **conditions)["ETag"]
        return etag

    def _version(self, key: str, **chosen: str) -> Version:
        with self._translated(key):
            reply = self._client().get_object(**self._names(key), **chosen)
            with contextlib.closing(reply["Body"]) as body:
                data = body.read()
        id_ = reply.get("VersionId", "null")  # S3's own name for the version of an object that has no others
        return Version(key=key, id=id_, data=data, modified_s=reply["LastModified"].timestamp())

    def _past(self, key: str) -> Iterator[dict[str, str]]:
        """Yield what chooses each version of exactly this key; other keys that start with it sort behind it."""
        marker: dict[str, str] = {}
        names = self._names(key)
        while True:
            try:
                with self._translated(key):
                    reply = self._client().list_object_versions(Bucket=names["Bucket"], Prefix=names["Key"], **marker)
            except Unsupported:  # R2 has no versions, so there is only the present
                yield {}
                return
            found = reply.get("Versions", [])
            mine = [{"VersionId": version["VersionId"]} for version in found if version["Key"] == names["Key"]]
            yield from mine
            if not reply.get("IsTruncated") or len(mine) < len(found):
                return
            marker = {"KeyMarker": reply["NextKeyMarker"], "VersionIdMarker": reply["NextVersionIdMarker"]}

    # --- connections -----------------------------------------------------------------------------

    def _client(self, *, attempts: int = _ATTEMPTS, size_bytes: int = 0) -> Any:
        """Return a client that sends a request up to `attempts` times and waits long enough for `size_bytes`."""
        if self._connection.pid != os.getpid():  # a fork: sockets and locks belong to the parent
            self._connection = self._connect()
        return self._connection.client(attempts=attempts, size_bytes=size_bytes)

    def _connect(self) -> S3Connection:
        listeners: dict[str, Callable[..., None]] = {
            "before-send.s3": self._on_send,
            "response-received.s3": self._on_reply,
            "before-parse.s3.ListObjectsV2": self._on_listing,
        }
        return S3Connection(self._options, events=listeners)

    def _on_send(self, event_name: str, request: Any, **_: object) -> None:
        length = request.headers.get("X-Amz-Decoded-Content-Length") or request.headers.get("Content-Length")
        if length is not None and int(length) < _MIB:
            request.headers.pop("Expect", None)  # a round trip to ask whether a small body may be sent, too
        self.requests.add(_KINDS.get(event_name.rpartition(".")[2], "get"))
        self._thread.sent = self.clock.monotonic()

    def _on_reply(self, response_dict: dict[str, Any] | None, **_: object) -> None:
        date = email.utils.parsedate_tz(response_dict["headers"].get("date")) if response_dict else None
        if date is not None:
            date_s = float(email.utils.mktime_tz(date))
            self.server.observe(date_s, sent=self._thread.sent, received=self.clock.monotonic())

    def _on_listing(self, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
        """Parse a listing in the SDK's place, and leave it an empty one to parse."""
        if response_dict["status_code"] == 200:
            customized_response_dict["Page"] = parse_listing(response_dict["body"], root=self._root)
            response_dict["body"] = b"<ListBucketResult/>"

    # --- errors ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Let no error of the SDK out."""
        try:
            yield
        except sdk.ClientError as error:
            raise self._refusal(error, key) from error
        except _NO_CREDENTIALS as error:
            raise Denied(
                f"no usable AWS credentials for {self.url}: {error}. Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or name a profile with AWS_PROFILE"
            ) from error
        except _NO_ANSWER as error:
            raise Unavailable(f"{self.url} gave no answer about {key!r}: {error}") from error
        except sdk.BotoCoreError as error:
            raise StoreError(f"{self.url} could not be asked about {key!r}: {error}") from error

    def _refusal(self, error: sdk.ClientError, key: str) -> StoreError:  # noqa: PLR0911 - one line for each answer
        """Say what an error reply means for the caller."""
        status, code = _status(error), error.response["Error"].get("Code", "")
        said = f"{self.url} answered {status} {code} about {key!r}: {error.response['Error'].get('Message', '')}"
        if code == "NoSuchBucket":
            return Unsupported(f"bucket {self._bucket!r} does not exist: create it first ({said})")
        if code in _ELSEWHERE or status in {301, 307}:
            return Unsupported(f"bucket {self._bucket!r} is in another region: pass its region= ({said})")
        if code in _BUSY or status in {409, 429} or (status >= 500 and status != 501):
            return Unavailable(said)
        if status == 404:
            return Missing(key)
        if status == 412:
            return Conflict(key)
        if code in _DENIED or status in {401, 403}:
            hint = "without s3:ListBucket, S3 answers this also for an object that does not exist"
            return Denied(f"{said} ({hint})" if code == "AccessDenied" else said)
        if status == 501:
            return Unsupported(said)
        return StoreError(said)


def _status(error: sdk.ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _restore(cls: type[S3Store], bucket: str, prefix: str, options: dict[str, Any]) -> S3Store:
    return cls(bucket, prefix, **options)


def _end_of(after: str, *, prefix: str, folders: bool) -> str:
    """Return the text that sorts behind `after`, and behind all of its folder where folders are rolled up."""
    slash = after.find("/", len(prefix)) if folders else -1
    return after if slash < 0 else after[: slash + 1] + _LAST
