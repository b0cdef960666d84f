"""What went wrong in a user's function, as data."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from oqkit.errors import PermanentError, Reschedule, Skip
from oqkit.queue.transition import Verb

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 8_000
_HERE = str(Path(__file__).parents[1] / "worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt of one task."""

    type: str
    """The exception's class name, with its module unless it is built in."""
    message: str
    traceback: str
    """From the user's function on; empty where no Python code failed."""
    attempt: int
    worker: str


def verb_of(error: BaseException) -> Verb:
    """Say what an exception does to its task; its type decides, never its text."""
    if isinstance(error, Skip):
        return Verb.COMPLETE
    if isinstance(error, Reschedule):
        return Verb.RESCHEDULE
    if isinstance(error, PermanentError):
        return Verb.FAIL
    return Verb.RETRY


def failure_of(error: BaseException, *, attempt: int, worker: str) -> Failure:
    """Describe an exception that a user's function raised."""
    return Failure(
        type=type_name(type(error)),
        message=cut(_text(error), MAX_MESSAGE),
        traceback=cut(_user_traceback(error), MAX_TRACEBACK),
        attempt=attempt,
        worker=worker,
    )


def type_name(kind: type[BaseException]) -> str:
    """Name an exception class: ``ValueError``, ``PermanentError``, ``requests.exceptions.Timeout``."""
    is_known = kind.__module__ in {"builtins", "__main__", "oqkit.errors"}
    return kind.__qualname__ if is_known else f"{kind.__module__}.{kind.__qualname__}"


def cut(text: str, limit: int) -> str:
    """Shorten a text in its middle; letters that UTF-8 has no form for become escapes."""
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]}\n...\n{text[-half:]}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ runs here, and may raise SystemExit
        return f"<no text: __str__ raised {type(broken).__name__}>"


def _user_traceback(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as broken:  # noqa: BLE001 - formatting calls the user's __str__ and __repr__
        return f"<no traceback: formatting it raised {type(broken).__name__}>"
