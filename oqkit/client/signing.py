"""Where signing keys come from: what this machine is told to use, or a key of its own.

``OQ_SIGNING_KEY`` or ``OQ_SIGNING_KEY_FILE`` hold one or more keys, with white space between them. Submitters sign
with the first; workers that are told of keys run only what is signed with one of them. Without them everybody signs
what goes into a bucket with a key of their own, so that local workers can tell what is theirs; no other worker asks
for that.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from oqkit.config import Settings, expanded
from oqkit.errors import UsageError
from oqkit.queue.signature import Keyring

log = logging.getLogger(__name__)

OWN_KEY = Path("~/.oqkit/signing.key")


def configured_keys(chosen: Settings) -> tuple[bytes, ...]:
    """Return the keys that this machine is told to use, or none; raise `UsageError` for a file that others can read."""
    if chosen.signing_key and chosen.signing_key_file:
        raise UsageError("OQ_SIGNING_KEY and OQ_SIGNING_KEY_FILE are both set: set one of them")
    if chosen.signing_key:
        return _split(chosen.signing_key, what="OQ_SIGNING_KEY")
    if chosen.signing_key_file:
        return _read(expanded(chosen.signing_key_file))
    return ()


def signer(chosen: Settings, *, url: str) -> Callable[[], Keyring] | None:
    """Return what gives the keys to sign jobs of this queue with; None where it is for its owner alone anyway.

    Raise `UsageError` at once if the keys that are configured cannot be used.
    """
    configured = verifier(chosen, url=url)
    if configured is not None:
        return lambda: configured
    return cache(lambda: _keyring(chosen, own_keys(), url=url)) if is_shared(url) else None


def verifier(chosen: Settings, *, url: str) -> Keyring | None:
    """Return the keys of which one has to have signed what a worker runs; None if none is configured."""
    keys = configured_keys(chosen)
    return _keyring(chosen, keys, url=url) if keys else None


def own_environment(chosen: Settings, *, url: str) -> dict[str, str]:
    """Return the variables by which processes of this user run what this user has signed, and nothing else.

    None are needed where a key is configured, which they inherit, or the queue is for its owner alone.
    """
    if configured_keys(chosen) or not is_shared(url):
        return {}
    path = own_key_file()
    return {"OQ_SIGNING_KEY": passing_key()} if path is None else {"OQ_SIGNING_KEY_FILE": str(path)}


def is_shared(url: str) -> bool:
    """Whether others may write this queue without any file system asking who they are."""
    return urlsplit(url).scheme not in {"file", "memory"}


def _keyring(chosen: Settings, keys: tuple[bytes, ...], *, url: str) -> Keyring:
    """Return the keys for the queue at this place: buckets of one name at two endpoints are two."""
    place = f"{url} at {chosen.endpoint_url.rstrip('/')}" if chosen.endpoint_url else url
    return Keyring(keys, scope=chosen.signing_scope or place)


def own_key_file() -> Path | None:
    """Return the file that holds this user's own key, made if there is none; None where it cannot be kept.

    Nobody has asked for that key, so whatever is the matter with it keeps nobody from submitting.
    """
    try:
        path = expanded(OWN_KEY)
        if not path.exists():
            _create(path)
        _read(path)
    except OSError:  # a home that cannot be written: the key lives as long as this process
        return None
    except UsageError as error:
        _tell_once(str(error))
        return None
    return path


def own_keys() -> tuple[bytes, ...]:
    """Return this user's own key, which lasts as long as the home directory does, or else this process."""
    path = own_key_file()
    return (passing_key().encode(),) if path is None else _read(path)


@cache
def _tell_once(why: str) -> None:
    log.warning("%s. Until then, local workers run only what was submitted by the process that started them", why)


@cache
def passing_key() -> str:
    """Return a key that lasts as long as this process."""
    return secrets.token_urlsafe(48)


def _create(path: Path) -> None:
    """Write a new key so that a reader sees all of it or nothing, and of two writers one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".signing-") as file:  # 0600, as mkstemp makes it
        file.write(f"{secrets.token_urlsafe(48)}\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            path.hardlink_to(file.name)
        except FileExistsError:
            return


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        raise UsageError(f"the signing key {path} cannot be read: {error.strerror}") from None
    if sys.platform != "win32" and (stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid not in {os.geteuid(), 0}):
        raise UsageError(
            f"the signing key {path} can be read or written by other users: chmod 600 {path}, and make sure that it is yours"
        )
    return _split(data.decode(errors="surrogateescape"), what=str(path))


def _split(text: str, *, what: str) -> tuple[bytes, ...]:
    keys = tuple(part.encode(errors="surrogateescape") for part in text.split())
    if not keys:
        raise UsageError(f"{what} holds no signing key: make one with `openssl rand -base64 48`")
    return keys
