"""Processes that start in no time: each is forked from one that has imported everything, and runs nothing in threads."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier
from typing import Any

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["oqkit.testing", "oqkit.client.queue", "oqkit.store.s3", "pandas", "pytest"])


def exit_code_of(act: Callable[..., object], *arguments: Any) -> int | None:
    """Call a function of a module in a process of its own; return the exit code, below zero if a signal killed it."""
    process = PROCESSES.Process(target=act, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def at_once(act: Callable[..., Any], *, n: int) -> list[Any]:
    """Call `act(number)` in each of `n` processes, all of them at the same moment; return what the calls give."""
    start = PROCESSES.Barrier(n)
    with ProcessPoolExecutor(n, PROCESSES, initializer=_remember, initargs=(start,)) as pool:
        calls = [pool.submit(_wait_and_act, act, number) for number in range(n)]
        return [call.result() for call in calls]


def _remember(barrier: Barrier) -> None:
    global _start  # noqa: PLW0603 - a barrier can be handed to a new process only
    _start = barrier


def _wait_and_act(act: Callable[..., Any], number: int) -> Any:
    _start.wait()
    return act(number)
