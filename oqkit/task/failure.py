"""What went wrong in a user's function, as data."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from oqkit.errors import PermanentError, Reschedule, SchemaError, Skip
from oqkit.queue.transition import Verb
from oqkit.task.request import Signal

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 8_000
_HERE = str(Path(__file__).parents[1] / "worker")


class SignalMissing(BaseException):
    """Ends a call that waits for a signal: it is made again when that has come. No `except Exception` holds it up."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.signal = signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed attempt of one task; its texts are made short enough, and such that they can be stored."""

    type: str
    """The exception's class name, with its module unless it is built in."""
    message: str
    traceback: str
    """From the user's function on; empty where no Python code failed."""
    attempt: int
    worker: str

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            object.__setattr__(self, name, cut(getattr(self, name), limit))

    @property
    def is_raised(self) -> bool:
        """Whether the function raised it; otherwise its call did not end, or an input or a value could not get where it had to."""
        return bool(self.traceback)


_LIMITS = {"type": 300, "message": MAX_MESSAGE, "traceback": MAX_TRACEBACK}


def verb_of(error: BaseException) -> Verb:
    """Say what an exception does to its task; its type decides, never its text."""
    kind = type(error)
    if issubclass(kind, Skip):
        return Verb.COMPLETE
    if issubclass(kind, Reschedule):
        return Verb.RESCHEDULE
    if issubclass(kind, SignalMissing):
        return Verb.WAIT
    if issubclass(kind, (PermanentError, SchemaError)):  # what does not fit now will not fit the next time
        return Verb.FAIL
    return Verb.RETRY


def delay_of(error: BaseException) -> float:
    """Return for how many seconds a `Reschedule` puts its task back, or raise `ValueError` if a subclass made that no time."""
    delay_s = getattr(error, "delay_s", None)
    if isinstance(delay_s, bool) or not isinstance(delay_s, int | float) or not 0 <= delay_s <= Reschedule.LONGEST_S:
        raise ValueError(
            f"{type_name(type(error))}.delay_s={delay_s!r:.60} must be a number of seconds, at most ten years"
        )
    return float(delay_s)


def failure_of(error: BaseException, *, attempt: int, worker: str) -> Failure:
    """Describe an exception that a user's function raised."""
    return Failure(
        type=type_name(type(error)),
        message=text_of(error),
        traceback=_user_traceback(error),
        attempt=attempt,
        worker=worker,
    )


def type_name(kind: type) -> str:
    """Name an exception class: ``ValueError``, ``PermanentError``, ``requests.exceptions.Timeout``."""
    try:
        module = str(kind.__module__)
        is_known = module in {"builtins", "__main__", "oqkit.errors"}
        return str(kind.__qualname__) if is_known else f"{module}.{kind.__qualname__}"
    except BaseException:  # noqa: BLE001 - a metaclass can make properties of both
        return type.__repr__(kind)


def cut(text: str, limit: int) -> str:
    """Shorten a text in its middle; letters that UTF-8 has no form for become escapes."""
    return _shortened(_shortened(text, limit).encode(errors="backslashreplace").decode(), limit)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = (limit - 5) // 2
    return f"{text[:half]}\n...\n{text[-half:]}"


def text_of(error: BaseException) -> str:
    """Return the text of an exception, whatever its ``__str__`` does."""
    try:
        return cut(str.__str__(str(error)), MAX_MESSAGE)
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ runs here, and may raise SystemExit
        return f"<no text: __str__ raised {type_name(type(broken))}>"


def _user_traceback(error: BaseException) -> str:
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
            trace = trace.tb_next
        lines = traceback.TracebackException(type(error), error, trace).format()
        return cut("".join(cut(line, MAX_TRACEBACK) for line in lines), MAX_TRACEBACK)
    except BaseException as broken:  # noqa: BLE001 - formatting calls the user's __str__ and __repr__
        return f"<no traceback: formatting it raised {type_name(type(broken))}>"
