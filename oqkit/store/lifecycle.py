"""Rules by which a bucket forgets earlier versions of what a queue writes, beside the rules that others have made there.

A bucket has one list of rules, and S3 replaces it as a whole. Rules of this queue are known by their id, which says where the queue is;
all others are written back as they were read. No rule here ever touches what an object holds now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oqkit.errors import UsageError

Rule = Mapping[str, Any]
"""A rule as S3 has it."""

MAX_DAYS = 36_500
MAX_RULES = 1_000
_MAX_ROOT = 150
"""An id has at most 255 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """All rules of a bucket, of which some are those of the queue at `root`."""

    root: str
    """What every key of the queue begins with in the bucket: nothing, or the prefix and a slash."""
    rules: Sequence[Rule] = ()
    others: Mapping[str, Any] = field(default_factory=dict)
    """What else S3 keeps with them."""

    def days(self) -> dict[str, int]:
        """Return for how many days the queue's rules keep earlier versions, by prefix."""
        own = {
            self._prefix(rule): rule for rule in self.rules if self._is_own(rule) and rule.get("Status") == "Enabled"
        }
        found = {prefix: rule.get("NoncurrentVersionExpiration", {}) for prefix, rule in own.items()}
        return {prefix: int(what["NoncurrentDays"]) for prefix, what in found.items() if "NoncurrentDays" in what}

    def keeping(self, days: Mapping[str, int]) -> Lifecycle:
        """Return these rules with those of the queue replaced: one for each prefix of `days`. Raise `UsageError` if they are too many.

        Earlier versions go after so many days, and so does the sign that an object was deleted once it is all that is left.
        """
        rules = [*(rule for rule in self.rules if not self._is_own(rule)), *map(self._rule, days, days.values())]
        if len(rules) > MAX_RULES:
            raise UsageError(
                f"the bucket would have {len(rules):,} lifecycle rules, and S3 takes {MAX_RULES:,}: remove some"
            )
        return replace(self, rules=rules)

    def _rule(self, prefix: str, n_days: int) -> Rule:
        return {
            "ID": f"{self._owner}{prefix}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{self.root}{prefix}"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": n_days},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        }

    @property
    def _owner(self) -> str:
        root = self.root if len(self.root) <= _MAX_ROOT else hashlib.sha256(self.root.encode()).hexdigest()
        return f"oqkit {root or '.'}: "

    def _is_own(self, rule: Rule) -> bool:
        return str(rule.get("ID", "")).startswith(self._owner)

    def _prefix(self, rule: Rule) -> str:
        return str(rule["ID"]).removeprefix(self._owner)
