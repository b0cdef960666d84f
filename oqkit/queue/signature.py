"""Signed jobs: a worker that has a key runs only what was submitted by somebody who has it too (design: trust).

What is signed is one text, the JSON of all that decides what a job runs and on what. It is stored as it was written
and never written anew, so that nobody has to agree on how JSON is spelt. The key of a queue is derived from the secret
and the place of the queue as this machine knows it: what was signed for one queue means nothing in another.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from cachetools import LRUCache
from msgspec import Meta

from oqkit.errors import NotSigned, UsageError

MIN_KEY_BYTES: Final = 32
MAX_JOBS: Final = 100_000
_HASH: Final = "sha256"
_QUEUE: Final = b"oqkit/job/v1\0"
_KEY_ID: Final = b"oqkit/key-id/v1\0"
_TEXT: Final = b"oqkit/signature/v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signed text, the id of the key, and the HMAC-SHA256 of the text in hexadecimal digits."""

    text: str
    kid: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
    mac: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A signature of what stands beside it, of which its readers make the text anew: of names and numbers in one order."""

    kid: Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
    mac: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Keyring:
    """The keys of one queue: the first one signs, all of them verify. Threads may share it.

    `secrets` are what was agreed on, at least 32 bytes each; `scope` is the place of the queue, the same for all who
    sign and verify. It never shows a key.
    """

    def __init__(self, secrets: Sequence[bytes], *, scope: str) -> None:
        if not secrets:
            raise UsageError("a keyring needs at least one signing key")
        for secret in secrets:
            if len(secret) < MIN_KEY_BYTES:
                raise UsageError(
                    f"a signing key has {len(secret)} bytes, and must have {MIN_KEY_BYTES} at least: "
                    "make one with `openssl rand -base64 48`"
                )
        self.scope = scope
        keys = [_derived(secret, scope) for secret in secrets]
        self._keys = {_mac(key, _KEY_ID)[:16]: key for key in keys}
        self._first = next(iter(self._keys))
        self._newest: LRUCache[str, tuple[float, int]] = LRUCache(MAX_JOBS)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{len(self._keys)} signing keys for {self.scope}, the first is {self._first}>"

    def sign(self, text: str) -> Signature:
        """Sign a text."""
        return Signature(text=text, kid=self._first, mac=_signed(self._keys[self._first], text))

    def verify(self, signature: Signature | None, *, what: str) -> None:
        """Raise `NotSigned` unless one of the keys made this signature; to be asked before the text is read."""
        if signature is None:
            raise _refusal(what, "it is not signed, and this worker runs signed jobs only")
        key = self._keys.get(signature.kid)
        if key is None:
            raise _refusal(
                what,
                f"it is signed with the key {signature.kid!r:.40}, and this worker has {self._named()} for {self.scope}; "
                "the secret and OQ_SIGNING_SCOPE must be the same",
            )
        if not hmac.compare_digest(_signed(key, signature.text).encode(), signature.mac.encode(errors="replace")):
            raise _refusal(what, "its signature does not fit: it was changed since")

    def check_age(
        self, job_id: str, *, age: tuple[float, int], valid_until: float | None, now: float, what: str
    ) -> None:
        """Raise `NotSigned` for what was valid once: its time is over, or something newer was seen here in its place.

        `age` is when it was submitted, and how often its function was replaced since: an id may be used again once a
        job was deleted.
        """
        if valid_until is not None and now > valid_until:
            raise _refusal(what, "its signature has run out: submit it again")
        with self._lock:
            if age < self._newest.get(job_id, age):
                raise _refusal(
                    what, "it holds an older function or job than it held before: somebody put an old copy back"
                )
            self._newest[job_id] = age

    def _named(self) -> str:
        return ", ".join(map(repr, self._keys))


def _refusal(what: str, why: str) -> NotSigned:
    return NotSigned(f"{what} has no valid signature for this worker: {why}")


def _derived(secret: bytes, scope: str) -> bytes:
    """Derive a key of 32 bytes: HKDF with SHA-256 (RFC 5869) without salt, one block."""
    extracted = hmac.digest(bytes(32), secret, _HASH)
    return hmac.digest(extracted, _QUEUE + scope.encode(errors="surrogatepass") + b"\x01", _HASH)


def _signed(key: bytes, text: str) -> str:
    data = text.encode(errors="surrogatepass")
    return _mac(key, _TEXT + len(data).to_bytes(8) + data)


def _mac(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, _HASH).hexdigest()
