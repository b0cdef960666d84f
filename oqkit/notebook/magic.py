"""``%load_ext oqkit``: ``%oq jobs``, ``%oq status NAME``, ``%oq errors NAME``, ``%oq pause NAME``, ``%oq resume NAME``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Protocol

import pandas as pd

from oqkit.client.connect import default_queue
from oqkit.client.handle import Job
from oqkit.errors import UsageError


class InteractiveShell(Protocol):
    """What this needs of IPython's shell."""

    def register_magic_function(self, func: Callable[[str], object], magic_kind: str, magic_name: str) -> None: ...


USAGE = "%oq jobs · %oq status NAME · %oq errors NAME · %oq pause NAME · %oq resume NAME"


def oq(line: str) -> Job | pd.DataFrame:
    """Show the newest jobs, one job, or what failed in it; pause a job, or resume it; both show it."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%oq {line}: {error}. Use {USAGE}") from None
    match words:
        case ["jobs"]:
            return default_queue().jobs()
        case ["status", name]:
            return default_queue().job(name)
        case ["errors", name]:
            return default_queue().job(name).errors()
        case ["pause" | "resume" as verb, name]:
            job = default_queue().job(name)
            job.pause() if verb == "pause" else job.resume()
            return job
        case _:
            raise UsageError(f"%oq {line} is none of {USAGE}")


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Make ``%oq`` known to IPython; called by ``%load_ext oqkit``."""
    shell.register_magic_function(oq, "line", "oq")
