"""When is a submission a job that is there already? Only when that is known to give the same result (guarantee G11).

Two jobs are the same work if their functions have one known fingerprint, and content and options are
equal. A job that was repaired by ``retry(fn=...)`` counts as one of its new function. A task type given by
its name alone is the same while its name is, and then only for jobs with a name of the user's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from oqkit.arrow import tagged_json
from oqkit.payload.input import input_of
from oqkit.payload.values_input import ValuesInput
from oqkit.queue.job import Code, ControlVerb, Job
from oqkit.task.fingerprint import python_of, same_function


class Choice(StrEnum):
    """What becomes of a submission."""

    CREATE = "create"
    ATTACH = "attach"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a submission, and how it differs from the job that has its name."""

    choice: Choice
    because: str = ""


def decide(found: Job | None, wanted: Job, on_duplicate: str) -> Decision:
    """Decide whether `wanted` is created, attached to the newest job of its name, or refused.

    A name that the user chose stands for one job. A name that was derived from the work itself gets a
    new job where that work is not what the job of that name does now.
    """
    if found is None or on_duplicate == "rerun":
        return Decision(Choice.CREATE)
    differing = difference(found, wanted)
    if differing and is_derived(wanted):
        return Decision(Choice.CREATE)
    if differing or on_duplicate == "raise":
        return Decision(Choice.REFUSE, differing or "this same work")
    return Decision(Choice.ATTACH)


def difference(found: Job, wanted: Job) -> str:
    """Say how two jobs differ: "another function and other options"; empty if they are known to be the same work."""
    is_same = _is_same_function(found, wanted)
    is_retried = any(control.verb is ControlVerb.RETRY for control in found.controls)
    facts = [
        ("another task type", found.type == wanted.type or (is_retried and is_same)),
        ("another function", is_same is not False),
        (f"a function that cannot be compared{_why_unknown(found, wanted)}", is_same is not None),
        ("other content", bool(found.content_digest) and _content(found) == _content(wanted)),
        ("other options", found.options_digest == wanted.options_digest),
    ]
    *head, last = [what for what, holds in facts if not holds] or [""]
    return f"{', '.join(head)} and {last}" if head else last


def _is_same_function(found: Job, wanted: Job) -> bool | None:
    if found.code == wanted.code == Code():  # both leave it to the workers what their type is
        return found.type == wanted.type
    return same_function(found.code.fingerprint, wanted.code.fingerprint)


def _why_unknown(found: Job, wanted: Job) -> str:
    if not found.code.fingerprint or not wanted.code.fingerprint:
        return ""
    here, there = python_of(wanted.code.fingerprint), python_of(found.code.fingerprint)
    return f" (it was submitted by Python {there}, and this is {here})"


def _content(job: Job) -> tuple[str, str]:
    return job.mode, job.content_digest


# --- names -----------------------------------------------------------------------------------------


def derived_name(job: Job) -> str:
    """Return the name of a job that was given none: it follows from what the job does."""
    facts = (job.type, job.code.fingerprint, *_content(job), job.options_digest)
    return f"{job.type}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"


def is_derived(job: Job) -> bool:
    """Whether a job has a name of the kind that `derived_name` gives."""
    return bool(re.fullmatch(re.escape(job.type) + "-[0-9a-f]{12}", job.name))


# --- single tasks with a key -----------------------------------------------------------------------


def input_difference(found: Job, wanted: Job) -> str:
    """Say how the inputs of two single tasks differ: "amount is 3 there and 4 here"; empty if they do not.

    Another task type is another input. The order of keys means nothing, and neither do the function's code and the options.
    """
    if found.type != wanted.type:
        return f"it is of type {found.type!r} there and {wanted.type!r} here"
    there, here = (_values(job) for job in (found, wanted))
    if there is None or here is None:  # too large to be kept in the job itself
        return "" if found.content_digest == wanted.content_digest else "its input is another one"
    return value_difference(there[0], here[0])


def _values(job: Job) -> list[Any] | None:
    stored = input_of(job)
    return stored.values() if isinstance(stored, ValuesInput) else None


def input_digest(value: object) -> str:
    """Digest the input of a single task with a key: the order of keys means nothing."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]


def value_difference(there: object, here: object) -> str:
    """Say how two inputs differ; empty if they do not."""
    if canonical(there) == canonical(here):
        return ""
    if not isinstance(there, Mapping) or not isinstance(here, Mapping):
        return f"its input is {_shown(there)} there and {_shown(here)} here"
    names = [name for name in {**there, **here} if canonical(there.get(name, ...)) != canonical(here.get(name, ...))]
    told = [f"{name} is {_shown(there.get(name, ...))} there and {_shown(here.get(name, ...))} here" for name in names]
    return "; ".join(told[:3]) + ("; …" if len(told) > 3 else "")  # noqa: PLR2004


def canonical(value: object) -> str:
    """Return text that is the same for equal values, whatever the order of keys."""
    return "" if value is ... else json.dumps(json.loads(tagged_json.dumps(value)), sort_keys=True)


def _shown(value: object) -> str:
    if value is ...:
        return "missing"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004
