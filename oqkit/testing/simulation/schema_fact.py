"""What the oracle knows of published schemas: which was in force when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from oqkit.queue import key as keys
from oqkit.queue.published_schema import SCHEMA, PublishedSchema
from oqkit.testing.simulation.bucket import Bucket, Write


class SchemaFacts:
    """Every schema that was ever in force, known by the number that its results may not be above."""

    def __init__(self, expect: Callable[[object, str, str], None], bucket: Bucket) -> None:
        self._expect = expect
        self._bucket = bucket
        self._held: PublishedSchema | None = None
        self._changes: list[tuple[float, int | None]] = [(0.0, None)]
        """Since when (epoch seconds by the bucket's clock) it is which; None: there is none."""

    def concerns(self, key: str) -> bool:
        """Whether a key is that of a schema."""
        return key.startswith(keys.SCHEMAS)

    def wrote(self, write: Write) -> None:
        """Judge the write of a schema: each is published once."""
        new, old = SCHEMA.load(write.data or b"", write.key), self._held
        self._held = new
        self._expect(new.rev == (0 if old is None else old.rev) + 1, "rev", write.key)
        number = None if new.is_deleted else number_of(new.output)
        is_again = number is not None and number in {known for _, known in self._changes}
        self._expect(not is_again, "schema published twice", f"{write.key}: {number}")
        self._changes.append((self._bucket.now(), number))

    def in_force(self, since: float) -> set[int | None]:
        """Return which schemas have been in force since then; None if at some time there was none."""
        ends = [when for when, _ in self._changes[1:]] + [float("inf")]
        return {number for (_, number), end in zip(self._changes, ends, strict=True) if end >= since}


def number_of(output: Mapping[str, Any] | None) -> int | None:
    """Return by what number a schema of results is known; None if there is none."""
    number = (output or {}).get("maximum")
    return number if isinstance(number, int) else None
