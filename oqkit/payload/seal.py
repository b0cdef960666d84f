"""Whether a Parquet file is the one that was written, to the last byte: digests in its own footer.

The footer holds the SHA-256 of each row group, and one of itself, taken while zeros stood in its place. So a part
that is read by a range can be checked like a whole file. Files of other programs have none and pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from oqkit.errors import FormatError

_GROUPS: Final = b"oq.groups"
_FOOTER: Final = b"oq.footer"
_EMPTY: Final = "0" * 64
_GROUP_DIGITS: Final = 64
_SEAL: Final = re.compile(rb"oq\.footer\x18\x40([0-9a-f]{64})")  # as Thrift writes a key and a text of 64 bytes
_END: Final = 8  # four bytes of length, then "PAR1"


def metadata(data: memoryview, ends: Sequence[int], *, start: int) -> Mapping[str, str]:
    """Return what the footer has to say of row groups that lie one after the other and end at `ends`."""
    spans = zip([start, *ends], ends, strict=False)
    return {
        _GROUPS.decode(): "".join(_digest(data[first:stop])[:_GROUP_DIGITS] for first, stop in spans),
        _FOOTER.decode(): _EMPTY,
    }


def close(data: bytes) -> bytes:
    """Put the digest of the footer into the footer of a whole file."""
    footer = _footer(data)
    start = len(data) - len(footer) + footer.rindex(_EMPTY.encode())
    return b"".join((data[:start], _digest(footer).encode(), data[start + len(_EMPTY) :]))


def of(tail: bytes) -> str:
    """Return the digest that stands in the footer of a file; empty if there is none."""
    found = _SEAL.search(_footer(tail))
    return found[1].decode() if found else ""


def check_footer(tail: bytes, *, expected: str = "") -> None:
    """Raise `FormatError` unless the end of a file, which has all of its footer, is as it was written.

    With the digest that is `expected` of it, it has to be this very file. To be asked before anything parses it.
    """
    footer = _footer(tail)
    found = _SEAL.search(footer)
    if expected and (found is None or found[1] != expected.encode()):
        raise FormatError("it is another file than the job was submitted with")
    if found is None and _GROUPS not in footer and _FOOTER not in footer:
        return
    if found is None or _digest(footer.replace(found[1], _EMPTY.encode())).encode() != found[1]:
        raise FormatError("its footer is damaged")


def check_group(number: int, data: bytes | memoryview, footer: Any) -> None:
    """Raise `FormatError` unless the bytes of a row group are those that were written."""
    seals = (footer.metadata or {}).get(_GROUPS)
    if seals is None:
        return
    seal = seals[number * _GROUP_DIGITS : (number + 1) * _GROUP_DIGITS]
    if _digest(data)[:_GROUP_DIGITS].encode() != seal:
        raise FormatError(f"row group {number} is damaged")


def without(found: Mapping[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    """Return the metadata of a schema without the digests, which differ from file to file."""
    return {name: value for name, value in (found or {}).items() if name not in {_GROUPS, _FOOTER}} or None


def _footer(data: bytes) -> bytes:
    size = int.from_bytes(data[-_END:-4], "little")
    return data[max(0, len(data) - _END - size) :]


def _digest(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
