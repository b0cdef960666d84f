"""The functions that the audited worker was started with: nothing else may run there."""

from __future__ import annotations

import oqkit as oq


@oq.task
def score(x: float) -> float:
    return x + 1


@oq.task
def value(x: object) -> object:
    return x
