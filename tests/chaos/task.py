"""Functions for workers under attack: each call is on record before it does anything.

A record is one line in a file of the worker, written by one `write` to a file opened with
`O_APPEND`: it is there also if the process is killed right after. Child processes of a worker, in which
it runs rows that may have killed others, write into its file.
"""

from __future__ import annotations

import functools
import os
import time

import oqkit as oq

RECORD, OWNER = "CHAOS_RECORD", "CHAOS_OWNER"
if RECORD in os.environ:  # in a worker, which imports this first, and whose children inherit it
    os.environ.setdefault(OWNER, str(os.getpid()))


def _owner() -> int:
    """Return the process id of the worker."""
    return int(os.environ[OWNER])


@functools.cache
def _file() -> int:
    path = f"{os.environ[RECORD]}/{_owner()}.calls"
    return os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def note(label: str, number: int) -> None:
    os.write(_file(), f"{label} {number}\n".encode())


@oq.task
def double(label: str, x: int) -> dict[str, int]:
    note(label, x)
    return {"y": 2 * x, "pid": _owner()}


@oq.task
def slow(label: str, x: int, wait_s: float) -> dict[str, int]:
    note(label, x)
    time.sleep(wait_s)
    return {"y": 2 * x, "pid": _owner()}


@oq.task
def bulky(label: str, x: int, wait_s: float) -> dict[str, object]:
    """Return so much that the outcomes of a few calls must be a Parquet object."""
    note(label, x)
    time.sleep(wait_s)
    return {"y": 2 * x, "pid": _owner(), "text": os.urandom(5000).hex()}


@oq.task
def timed(label: str) -> None:
    """Put on record when it began, in milliseconds of this machine's clock."""
    note(label, time.time_ns() // 1_000_000)
