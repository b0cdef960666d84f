"""What it takes to start a worker of a queue, wherever that is: a command and what its environment needs.

Which Python, in which folder, under which engine and how many: that is for a `oqkit.launch.launcher.Launcher` to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from oqkit.client.queue import Queue
from oqkit.client.signing import own_environment, verifier
from oqkit.config import to_environment
from oqkit.errors import UsageError
from oqkit.worker.worker import LEASE_S, ExecutorName

Trust = Literal["own", "everyone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCommand:
    """How to start a worker."""

    arguments: tuple[str, ...]
    """Of ``oq``, or of ``python -m oqkit``."""
    environment: Mapping[str, str] = field(repr=False)
    """Variables that it needs beside those of its place. They may hold a key: pass them on where nobody else reads them."""


def worker_command(
    queue: Queue,
    functions: Iterable[str] = (),
    *,
    lease_s: float = LEASE_S,
    executor: ExecutorName = "thread",
    trust: Trust = "own",
) -> WorkerCommand:
    """Return what starts a worker of `queue` that runs submitted functions, and `functions` (``module:name``) by name.

    Raise `UsageError` if no other process can reach the queue, or code in it is not to be trusted.
    """
    if queue.url.startswith("memory://"):
        raise UsageError("a memory:// queue exists in this process alone; use a directory, or run oq.Worker here")
    refuse_trust(queue)
    if trust not in {"own", "everyone"}:
        raise UsageError(f"trust={trust!r} must be 'own' or 'everyone'")
    if trust == "everyone" and verifier(queue.settings, url=queue.url) is not None:
        raise UsageError(
            "trust='everyone' contradicts the signing key that is configured (OQ_SIGNING_KEY, OQ_SIGNING_KEY_FILE): "
            "workers that have one run signed jobs only"
        )
    return WorkerCommand(
        arguments=("worker", "--trust-code", "--lease", f"{lease_s:g}", "--executor", executor, *functions),
        environment={
            **to_environment(replace(queue.settings, url=queue.url)),
            **(own_environment(queue.settings, url=queue.url) if trust == "own" else {}),
        },
    )


def refuse_trust(queue: Queue) -> None:
    """Raise `UsageError` if other users of this machine can write the queue: then its code is not to be trusted."""
    who = queue.repository.store.written_by_others()
    if who:
        raise UsageError(
            f"code in {queue.url} cannot be trusted: {who}. Or start workers that run functions of their own only: "
            "`oq worker MODULE`, without --trust-code"
        )
