"""One value of an answer: as text for people, and as JSON for programs."""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from oqkit.notebook.humanize import duration
from oqkit.printable import printable


def shown_cell(value: object, *, now: float | None) -> str:
    """Return a value on one line; a time as how long ago that was, or with `now=None` as it is."""
    match _plain(value):
        case None:
            return "-"
        case float(number):
            return f"{number:.0f}" if number.is_integer() else f"{number:g}"
        case datetime() as at:
            return at.isoformat(sep=" ", timespec="seconds") if now is None else _age(now - at.timestamp())
        case {**members}:
            return " ".join(f"{printable(name)}={shown_cell(each, now=now)}" for name, each in members.items()) or "-"
        case [*elements]:
            return "; ".join(shown_cell(each, now=now) for each in elements) or "-"
        case other:
            return printable({True: "yes", False: "no"}[other] if isinstance(other, bool) else other)


def json_of(value: object) -> Any:
    """Return a value as JSON has it: null for what is missing, a time in ISO 8601, text for what JSON does not know."""
    match _plain(value):
        case None | bool() | int() | str() as same:
            return same
        case float(number):
            return number if math.isfinite(number) else str(number)
        case date() as at:
            return at.isoformat()
        case {**members}:
            return {str(name): json_of(each) for name, each in members.items()}
        case [*elements]:
            return [json_of(each) for each in elements]
        case other:
            return str(other)


def _plain(value: object) -> object:
    """Return a value of Python's own types instead of numpy's, and None for what is missing."""
    if isinstance(value, np.generic | np.ndarray) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.tolist()
    if value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def _age(seconds: float) -> str:
    largest = " ".join(duration(abs(seconds)).split(" ")[:2])
    return f"{largest} ago" if seconds >= 0 else f"in {largest}"
