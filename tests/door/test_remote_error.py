"""An exception of a worker is raised here as what it was, and nothing that the queue says makes this process import or run anything."""

from __future__ import annotations

import sys
from types import ModuleType

import pandas as pd
import pytest

from oqkit.door.remote_error import remote_error
from oqkit.errors import JobFailed, Skip
from oqkit.task.failure import failure_of


class Outer:
    class InnerError(LookupError):
        pass


class MadeError(Exception):
    """Says something when it is made."""

    def __init__(self, *_):
        raise AssertionError("its __init__ was run")


def failed(kind, message="why"):
    row = {"task_id": "k1.0", "type": kind, "message": message, "traceback": "Traceback …", "attempt": 1, "worker": "w"}
    return JobFailed("task k1.0 did not complete", pd.DataFrame([row]))


def as_raised(error):
    told = failure_of(error, attempt=1, worker="w")
    return remote_error(failed(told.type, told.message))


@pytest.mark.parametrize(
    "error",
    (
        ValueError("bad"), ValueError(), KeyError("k"), KeyError(3), KeyError((1, "a")), KeyError("it's"), OSError("disk"), ZeroDivisionError("zero"),
        Outer.InnerError("inside"), Skip("done"), pd.errors.ParserError("row 3"), UnicodeError("letters"), StopIteration("over"),
    ),
)  # fmt: skip
def test_exception_has_its_type_and_its_text(error):
    found = as_raised(error)
    assert (type(found), str(found)) == (type(error), str(error))


def test_its_init_is_not_run():
    found = as_raised(MadeError.__new__(MadeError, "text"))
    assert (type(found), str(found)) == (MadeError, "text")


@pytest.mark.parametrize(
    "kind",
    (
        "SystemExit",
        "KeyboardInterrupt",
        "int",
        "os.system",
        "nowhere.Error",
        "",
        ".",
        "a..b",
        "builtins",
        "ValueError.x",
    ),
)
def test_what_is_no_exception_that_is_loaded_here_stays_the_failure_of_the_job(kind):
    error = failed(kind)
    assert remote_error(error) is error


def test_nothing_is_imported_for_it(monkeypatch):
    lazy = ModuleType("lazy_module")
    lazy.__getattr__ = lambda name: pytest.fail(f"asked for {name}")
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    for kind in ("lazy_module.Error", "xml.dom.pulldom.Error", "this.Error"):
        sys.modules.pop("this", None)
        error = failed(kind)
        assert remote_error(error) is error
    assert "this" not in sys.modules


def test_failure_without_rows_is_itself():
    for error in (JobFailed("cancelled", None), JobFailed("expired", pd.DataFrame())):
        assert remote_error(error) is error
