"""What a document may require of its reader. A feature is named here by the code that honours it, and not before."""

from __future__ import annotations

from typing import Final

from oqkit.queue.dependency import FEATURE as DEPENDENCIES
from oqkit.queue.job import LAYOUTS, SCHEMAS
from oqkit.queue.limit import FEATURE as LIMITS
from oqkit.queue.signal import FEATURE as SIGNALS
from oqkit.queue.tombstone import DELETED

DATASETS: Final = "datasets"
"""Of jobs on files of which not all rows are meant, whose folders name columns, or which are text."""
GROUPS: Final = "groups"
"""A job whose tasks are groups of rows."""
EXPLODES: Final = "explodes"
"""A job whose rows may each give any number of rows."""

FEATURES: Final[frozenset[str]] = frozenset(
    {
        *("reprioritize", "tag"),
        DEPENDENCIES,
        SIGNALS,
        DELETED,
        SCHEMAS,
        LIMITS,
        LAYOUTS,
        DATASETS,
        GROUPS,
        EXPLODES,
    }
)
