"""What of a class was written by its author, and not by Python, a decorator or a metaclass."""

from __future__ import annotations

import dataclasses
import enum
import types
from typing import Any

#: What a class holds beside what was written in it, some of it only since it was first used.
_NOISE = frozenset({
    "__abstractmethods__", "__annotations_cache__", "__callable_proto_members_only__", "__dataclass_params__", "__dict__",
    "__doc__", "__firstlineno__", "__module__", "__non_callable_proto_members__", "__protocol_attrs__", "__signature__",
    "__slotnames__", "__static_attributes__", "__weakref__", "_abc_impl",
})  # fmt: skip
_DECORATORS = "__pydantic_decorators__"
#: Of what pydantic adds to a class the fields and the validators; the rest follows from them.
_PYDANTIC = frozenset({"__pydantic_fields__", _DECORATORS})


def members_of(kind: type) -> list[tuple[str, Any]]:
    """Return what was written in a class, sorted by name: methods, attributes, fields, members of an enum."""
    names: Any = kind.__members__ if issubclass(kind, enum.Enum) else {}
    found = [("members", [[name, it.value] for name, it in names.items()])] if names else []
    for name, value in sorted(vars(kind).items()):
        if (
            name not in names
            and not _is_noise(name, value, is_enum=bool(names))
            and (name, value) != ("__annotations__", {})
        ):
            found.append((name, _pydantic_decorators(value) if name == _DECORATORS else value))
    return found


def _is_noise(name: str, value: object, *, is_enum: bool) -> bool:
    code = getattr(value, "__func__", value)
    if isinstance(code, types.FunctionType) and code.__globals__.get("__name__") == "typing":  # what a Protocol gets
        return True
    if type(value) is types.MemberDescriptorType:  # `__slots__` says it
        return True
    if name.startswith("__pydantic_"):
        return name not in _PYDANTIC
    return name in _NOISE or (is_enum and name.startswith("_") and not name.startswith("__"))


def _pydantic_decorators(value: Any) -> Any:
    """Read what validates and serialises a model; pydantic notes with it the address of the class."""
    groups = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {
        group: {name: [it.info, it.func, it.shim] for name, it in found.items()}
        for group, found in groups.items()
        if isinstance(found, dict)
    }
