"""Which worker may run which job, and why not: pure, so that a worker and a person who waits come to the same answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oqkit.queue.job import Job


class Hurdle(StrEnum):
    """What keeps a worker from a job."""

    TYPE = "type"
    """It has no function for tasks of this type."""
    TRUST = "trust"
    """It runs only functions that it was started with, and this is not known to be one of them."""
    PYTHON = "python"
    """The function is byte code of another Python: loading it could crash the process."""
    MISSING = "missing"
    """The function shipped by value is not in the queue."""
    DAMAGED = "damaged"
    """The function shipped by value has other bytes than those that were submitted."""
    UNLOADABLE = "unloadable"
    """Importing or unpickling the function raised an error."""
    DIFFERENT = "different"
    """What it has under the function's name does something else than what was submitted."""
    SIGNATURE = "signature"
    """It runs signed jobs only, and this one has no signature that it accepts."""
    UNREADABLE = "unreadable"
    """It does not understand what the job's objects hold."""
    INPUTS = "inputs"
    """It cannot read the job's inputs now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a worker leaves a job alone; `detail` is what only the worker knows of it."""

    hurdle: Hurdle
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """What a worker can run, as far as that can be said without looking at functions."""

    types: frozenset[str]
    """The task types that it has functions for."""
    trusts_code: bool
    python: str = ""
    magic: str = ""


def refusal_of(ability: Ability, job: Job) -> Refusal | None:
    """Return why a worker certainly does not run a job, or None if it has to look at the function to know."""
    if not ability.trusts_code or not job.code.name:
        if job.type in ability.types:
            return None
        return Refusal(hurdle=Hurdle.TRUST if job.code.name else Hurdle.TYPE)
    return other_python(ability, job)


def other_python(ability: Ability, job: Job) -> Refusal | None:
    """Return the refusal of byte code that this worker's Python does not read; None where it does, or nobody knows."""
    code = job.code
    if not code.digest or not code.magic or not ability.magic or code.magic == ability.magic:
        return None
    needed = code.python if code.python != ability.python else f"{code.python} with byte code {code.magic}"
    return Refusal(hurdle=Hurdle.PYTHON, detail=f"{ability.python}, this needs {needed}")


def reason(refusal: Refusal, job: Job) -> str:
    """Say why a worker leaves a job alone, so that it reads on after "it cannot run it: "."""
    what = job.code.reference or f"the function {job.type!r}"
    return _REASONS[refusal.hurdle].format(what=what, type=job.type, detail=refusal.detail)


_REASONS = {
    Hurdle.TYPE: "it has no function for tasks named {type!r}",
    Hurdle.TRUST: "it was not started with {what}, and does not trust functions that come from the queue",
    Hurdle.PYTHON: "it runs {detail}",
    Hurdle.MISSING: "{what} is missing in the queue, there is no object {detail!r}",
    Hurdle.DAMAGED: "{what} is damaged in the queue, the bytes of {detail!r} are not those that were submitted",
    Hurdle.UNLOADABLE: "it says that {detail}",
    Hurdle.DIFFERENT: "what it has loaded as {what} is not the function that was submitted",
    Hurdle.SIGNATURE: "{detail}",
    Hurdle.UNREADABLE: "{detail}",
    Hurdle.INPUTS: "it cannot read the inputs, {detail}",
}
