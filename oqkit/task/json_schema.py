"""JSON Schema, draft 2020-12: is a schema one, and what is wrong with a value.

Nothing is fetched: a ``$ref`` leads into the schema itself, or to the draft's own vocabulary.
"""

from __future__ import annotations

import functools
import json
import numbers
from collections.abc import Mapping
from typing import Any

from oqkit.errors import UsageError

MAX_BYTES = 2**16
"""How large a schema may be: it lies in the object of each job that it is given to."""
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SHOWN = 200


def text_of_schema(schema: Mapping[str, Any]) -> str:
    """Return a schema as JSON text that is the same for equal schemas, or raise `UsageError`."""
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the schema is no JSON: {error}") from None
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UsageError(f"the schema takes more than {MAX_BYTES:,} bytes of JSON: say less of what may vary")
    return text


@functools.lru_cache(maxsize=128)
def compiled(text: str) -> Any:
    """Return what checks values by a schema (its text), made once; raise `UsageError` if it is no JSON Schema."""
    import jsonschema.exceptions  # 50 ms at import, needed only by those who use such a schema
    from jsonschema_specifications import REGISTRY

    schema = json.loads(text)
    named = schema.get("$schema", _DRAFT)
    if not isinstance(named, str) or named.rstrip("#") != _DRAFT:
        raise UsageError(f"the schema is of {named!r:.80}; oqkit reads JSON Schema draft 2020-12: {_DRAFT}")
    try:
        _validator_class().check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise UsageError(f"this is no JSON Schema{where and f', at {where}'}: {error.message:.{_SHOWN}}") from None
    except RecursionError:
        raise UsageError("the schema is nested too deeply") from None
    return _validator_class()(schema, registry=REGISTRY)


def json_problems(validator: Any, value: object) -> list[str]:
    """Say all that is wrong with a value, each with its field and the rule; empty if nothing is."""
    from referencing.exceptions import Unresolvable  # as above

    try:
        found = sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    except Unresolvable as error:
        return [f"the schema refers to {error.ref!r:.{_SHOWN}}, which is not in it"]
    except RecursionError:
        return ["the value, or what the schema refers to, is nested too deeply"]
    return [problem(error.absolute_path, error.message, error.validator) for error in found]


def problem(path: Any, message: str, rule: object) -> str:
    """Say what is wrong in one place: the path of names and places that leads there, what it is, and the rule."""
    field = ".".join(map(str, path))
    short = message if len(message) <= _SHOWN else f"{message[:_SHOWN]}…"
    return f"{f'field {field!r}: ' if field else ''}{short} (rule {rule!r})"


@functools.cache
def _validator_class() -> Any:
    """Return the validator of the draft, to which a tuple is an array and numbers of numpy are numbers."""
    from jsonschema import Draft202012Validator, validators

    types = Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "array": lambda _, value: isinstance(value, list | tuple),
            "boolean": lambda _, value: _is_bool(value),
            "integer": lambda _, value: _is_number(value) and value == value // 1,
            "number": lambda _, value: _is_number(value),
        }
    )
    return validators.extend(Draft202012Validator, type_checker=types)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in {"bool", "bool_"})


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
