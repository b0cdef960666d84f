"""What a call returned, as it is stored: JSON text where that gives the very same value back, else a pickle with a seal.

Whoever can write a bucket could put a pickle there, and loading one runs what it says. So a client loads one of a bucket only if
it was sealed with its own key, or that of its team: those that jobs are signed with. A directory that others can write is refused anyway.
"""

from __future__ import annotations

import hashlib
import pickle
from typing import Any, Final

import numpy as np

from oqkit.arrow import tagged_json
from oqkit.client.signing import configured_keys, own_keys
from oqkit.config import Settings
from oqkit.errors import FormatError, NotSigned, SchemaError
from oqkit.payload.guard import readable, typed
from oqkit.queue.signature import Keyring, Signature
from oqkit.task.code import pickled

_SCOPE: Final = "oqkit/pickled-result"
_KID, _SEAL = 16, 80
"""How many letters the id of a key has, and the seal: that id, and 64 digits."""
_NO_SEAL: Final = b"-" * _SEAL
_MOST_NUMBERS: Final = 1000
"""Arrays of more are pickled: as text they take ten times as long."""


def result_keys(chosen: Settings) -> Keyring:
    """Return the keys that seal results: those that this machine is told to sign with, or else its user's own."""
    return Keyring(configured_keys(chosen) or own_keys(), scope=_SCOPE)


def dump_result(value: object, *, keys: Keyring | None) -> str | bytes:
    """Return a result as it is stored, with a seal if it is pickled and there are `keys`; raise what pickling it raises."""
    try:
        if _has_text(value):
            return tagged_json.dumps(value)
    except (SchemaError, RecursionError):
        pass  # of a type that has no JSON, or nested too deeply
    data = pickled(value)
    if keys is None:
        return _NO_SEAL + data
    signature = keys.sign(_text_of(data))
    return f"{signature.kid}{signature.mac}".encode() + data


def load_result(stored: object, *, keys: Keyring | None, what: str) -> Any:
    """Return what `dump_result` stored; raise `FormatError` if it is damaged, or none of `keys` sealed it (None: no matter)."""
    with readable(f"the result of {what} is"):
        if isinstance(stored, str):
            return tagged_json.loads(stored)
        data = typed(stored, bytes)
    if keys is not None:
        _check_seal(data, keys, what)
    try:
        return pickle.loads(data[_SEAL:])  # noqa: S301 - made by somebody whom this machine trusts
    except Exception as error:  # unpickling imports the user's modules and runs their code
        raise FormatError(f"the result of {what} cannot be loaded here ({type(error).__name__}: {error})") from error


def _check_seal(data: bytes, keys: Keyring, what: str) -> None:
    seal = data[:_SEAL].decode(errors="replace")
    try:
        keys.verify(Signature(text=_text_of(data[_SEAL:]), kid=seal[:_KID], mac=seal[_KID:]), what=what)
    except NotSigned:
        raise NotSigned(
            f"the result of {what} is pickled, and was not sealed with a key of this machine, so it is not loaded: whoever can write "
            "the queue could have put it there. Give workers and clients one key (OQ_SIGNING_KEY_FILE), use oq.local_workers, let the "
            "function return numbers, text, lists or dicts, or pass oq.Executor(trust='everyone')"
        ) from None


def _text_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _has_text(value: Any) -> bool:
    """Whether `tagged_json` gives a value back with its very type, if it takes it at all, and is quick about it."""
    kind = type(value)
    if kind in {list, tuple, set, frozenset}:
        return all(map(_has_text, value))
    if kind is dict:
        return all(map(_has_text, value)) and all(map(_has_text, value.values()))
    if kind is np.ndarray:
        return bool(value.size <= _MOST_NUMBERS)
    return not isinstance(value, np.str_)
