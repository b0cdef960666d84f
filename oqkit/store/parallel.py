"""Calls that wait for a store, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

_AHEAD = 1000
"""How many calls wait for a thread."""


def map_parallel(function: Callable[[A], B], items: Iterable[A], *, n_threads: int) -> list[B]:
    """Return what `function` gives for every item, in their order, with so many calls at a time.

    Of several calls that fail, the error of the first item among them is raised, whichever ended first.
    """
    left = iter(items)
    work = list(islice(left, _AHEAD))
    if n_threads == 1 or len(work) <= 1:
        return [function(item) for item in chain(work, left)]
    pool, found = ThreadPoolExecutor(min(n_threads, len(work)), "oqkit-io"), list[B]()
    try:
        while work:  # never all at once: a job may have ten million parts
            found += _scheduled(pool, function, work)
            work = list(islice(left, _AHEAD))
        return found
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # so that Ctrl-C returns at once


def _scheduled(pool: ThreadPoolExecutor, function: Callable[[A], B], work: list[A]) -> Iterable[B]:
    try:
        return pool.map(function, work)
    except RuntimeError:  # the program ends, and pools take nothing more: then one after the other
        return map(function, work)
