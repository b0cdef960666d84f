"""A function of which some rows kill the process that runs them; each call is on record before it does anything."""

from __future__ import annotations

import ctypes
import functools
import os
import signal

import oqkit as oq

RECORD = "POISON_RECORD"


@functools.cache
def _file(pid: int) -> int:
    return os.open(f"{os.environ[RECORD]}/{pid}.calls", os.O_CREAT | os.O_APPEND | os.O_WRONLY)


def _segfault() -> None:
    ctypes.string_at(0)


def _exit() -> None:
    os._exit(7)


def _out_of_memory() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to the process that takes too much


DEATHS = {"segfault": _segfault, "exit": _exit, "memory": _out_of_memory}


@oq.task
def taste(x: int, fate: str) -> int:
    """Return ``-x``, unless the row is poison."""
    os.write(_file(os.getpid()), b"%d\n" % x)
    if fate:
        DEATHS[fate]()
    return -x
