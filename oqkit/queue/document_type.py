"""What the compare-and-set loop asks of a document, and documents that are declared by a dataclass alone.

A further kind of document is three lines: a frozen dataclass that extends `Document`, with a type of
`oqkit.queue.bound` for each field, and a `document_type` that says where such a one lies. The rest follows: its
bounds, its `format` and `requires`, what a newer oqkit wrote beside it, and that nobody takes it for another one.
`oqkit.queue.collection` reads, creates, changes and deletes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from oqkit.errors import FormatError, UsageError
from oqkit.queue import record
from oqkit.queue.bound import Count, Id, Unknown
from oqkit.queue.document import FORMAT, checked, dump, load, parsed


class Revised(Protocol):
    """A frozen dataclass of which every write is another revision."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def rev(self) -> int:
        """How often it was written."""

    @property
    def op(self) -> str:
        """Fresh with every write, so that no two versions have the same bytes."""


R = TypeVar("R", bound=Revised)


@dataclass(frozen=True, slots=True)
class DocumentType(Generic[R]):
    """How a kind of document is read and written."""

    load: Callable[[bytes, str], R]
    dump: Callable[[R], bytes]


# --- documents that are declared by a dataclass --------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What every such document has; the loop and the collection set all of it but `requires`."""

    rev: Count = 0
    op: Id = ""
    origin: Id = ""
    """Of which creation it is: how a creator whose reply was lost knows its own."""
    is_deleted: bool = False
    """It stays as a tombstone, so that a delete hits the version that it was meant for, and none that came after."""
    requires: tuple[Id, ...] = ()
    """Features without which nobody may touch it."""
    unknown: Unknown = ()
    """What a newer oqkit wrote beside these, to be written again."""


D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class KeyedType(DocumentType[D]):
    """A kind of document whose key follows from what it says."""

    key_of: Callable[[D], str]


def document_type(cls: type[D], *, what: str, key_of: Callable[[D], str]) -> KeyedType[D]:
    """Return how documents of a dataclass are read and written; `what` names one to people.

    To read one raises `FormatError` for what does not parse, is out of its bounds, requires an unknown feature, or is
    of another key. To write one raises `UsageError` if nobody could read it.
    """

    def build(fields: dict[str, object]) -> D:
        return record.read(cls, {name: value for name, value in fields.items() if name != "format"})

    def load_own(data: bytes, key: str) -> D:
        named = f"{what} {key!r}"
        fields = load(data, what=named)
        document = parsed(lambda: build(fields), what=named)
        if key_of(document) != key:
            raise FormatError(f"{named} is that of another key: {key_of(document)!r:.200}")
        return document

    def dump_own(document: D) -> bytes:
        named = f"{what} {key_of(document)!r:.200}"
        try:
            data = dump({"format": FORMAT, "requires": document.requires, **record.write(document)})
        except (TypeError, OverflowError) as error:
            raise UsageError(f"{named} cannot be stored: {error!s:.400}") from None
        return checked(data, build, what=named)

    return KeyedType(load_own, dump_own, key_of)
