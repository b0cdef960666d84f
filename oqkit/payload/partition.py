"""Columns that stand in the names of folders, as in ``year=2024/city=Oslo/``: which there are, and what each file has in them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa

from oqkit.arrow.metadata import pack_type, unpack_type
from oqkit.errors import SchemaError
from oqkit.payload.guard import typed

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_TEXTS: Final = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())

Values = tuple[str | None, ...]
"""What one file has in each column, as text; None is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """The columns, in order; each has one type in all files."""

    names: tuple[str, ...] = ()
    types: tuple[pa.DataType, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def fields(self) -> list[pa.Field]:
        """The columns as Arrow names them."""
        return [pa.field(name, kind) for name, kind in zip(self.names, self.types, strict=True)]

    def scalars(self, values: Values) -> list[pa.Scalar]:
        """Return the values of one file in their types, or raise one of pyarrow's errors."""
        return [
            pa.scalar(text).cast(kind) if text is not None else pa.scalar(None, kind)
            for text, kind in zip(values, self.types, strict=True)
        ]

    def added(self, table: pa.Table, values: Values) -> pa.Table:
        """Return rows of one file with those of the columns that it does not have, all of one value."""
        for field, value in zip(self.fields, self.scalars(values), strict=True):
            table = table.append_column(field, pa.repeat(value, table.num_rows))
        return table

    def only(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return which of these columns are in the files themselves."""
        return tuple(name for name in names if name not in self.names)

    def to_json(self) -> list[list[str]]:
        """Return what `from_json` reads."""
        return [[name, pack_type(kind)] for name, kind in zip(self.names, self.types, strict=True)]

    @classmethod
    def from_json(cls, doc: Sequence[Sequence[str]]) -> Partitions:
        """Read what `to_json` returned, or raise `TypeError`, `ValueError` or one of pyarrow's errors."""
        names = tuple(typed(name, str) for name, _ in doc)
        types = tuple(unpack_type(typed(kind, str)) for _, kind in doc)
        if not all(map(_is_plain, types)):
            raise ValueError(f"folders name no columns of {types!r:.80}")
        return cls(names=names, types=types)


def hive_values(path: str) -> dict[str, str | None]:
    """Return what the folders of a path say, in their order."""
    found = (folder.split("=", 1) for folder in path.split("/")[:-1] if "=" in folder.strip("="))
    return {unquote(name): None if value == _NULL else unquote(value) for name, value in found}


def hive_partitions(paths: Sequence[str], *, held: Sequence[str] = ()) -> tuple[Partitions, dict[str, Values]]:
    """Return the columns that the folders of all paths have, and the values of each path.

    A column whose values are whole numbers everywhere is of int64, any other one of text. Those that the files
    themselves have (`held`) are left to them. Raise `SchemaError` that names the first path with other columns.
    """
    found = {path: hive_values(path) for path in paths}
    first, names = paths[0], tuple(found[paths[0]])
    for path, values in found.items():
        if tuple(values) != names:
            raise SchemaError(
                f"{path} is in folders of {_told(values)}, but {first} in folders of {_told(found[first])}: all files of a "
                "dataset have the same ones"
            )
    names = tuple(name for name in names if name not in held)
    types = tuple(_type_of([values[name] for values in found.values()]) for name in names)
    return Partitions(names=names, types=types), {
        path: tuple(values[name] for name in names) for path, values in found.items()
    }


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or kind in _TEXTS)


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}=…" for name in values) or "no column"


def _type_of(texts: Sequence[str | None]) -> pa.DataType:
    is_number = all(text is None or _NUMBER.fullmatch(text) for text in texts) and any(
        text is not None for text in texts
    )
    return pa.int64() if is_number else pa.string()


def nulls_of(partitions: Partitions, values: Mapping[str, Values]) -> dict[str, bool]:
    """Return which columns of numbers or bools hold nulls, as `Dataset.nulls` has it."""
    return {
        one.name: True
        for place, one in enumerate(partitions.fields)
        if (pa.types.is_integer(one.type) or pa.types.is_boolean(one.type))
        and any(found[place] is None for found in values.values())
    }
