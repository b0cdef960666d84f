"""What a submission with a `key` is known by: the key, where it counts, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from oqkit.client.option import short_text
from oqkit.errors import UsageError
from oqkit.queue.bound import MAX_SPAN_S
from oqkit.queue.key import key_scope
from oqkit.task.function import seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionKey:
    """A key that a caller gave, checked."""

    text: str
    scope: str
    """``type``, ``queue``, or the name of a space of its own."""
    ttl_s: float | None
    """How long the first submission with it holds it; None for ever."""

    def scope_of(self, task_type: str) -> str:
        """Return what tells this key from the same text elsewhere."""
        return key_scope(self.scope, task_type)

    def until(self, created: float) -> float | None:
        """Return when a job that was created then holds the key no more, in epoch seconds."""
        return None if self.ttl_s is None else created + self.ttl_s

    def __str__(self) -> str:
        match self.scope:
            case "type":
                return f"key {self.text!r}"
            case "queue":
                return f"key {self.text!r} of the whole queue"
            case own:
                return f"key {self.text!r} of scope {own!r}"


def submission_key(key: object, *, scope: object, key_ttl: float | str | None) -> SubmissionKey | None:
    """Return what a submission is known by, None if it has no key, or raise `UsageError`."""
    scope = short_text(scope, what="scope")
    if key is None:
        if scope != "type" or key_ttl is not None:
            raise UsageError("scope= and key_ttl= say where and for how long a key counts: give key= as well")
        return None
    ttl_s = None if key_ttl is None else seconds(key_ttl, what="key_ttl")
    if ttl_s is not None and not 0 < ttl_s <= MAX_SPAN_S:
        raise UsageError(f"key_ttl={key_ttl!r} must be more than 0 and at most three centuries; leave it out for ever")
    return SubmissionKey(text=short_text(key, what="key"), scope=scope, ttl_s=ttl_s)
