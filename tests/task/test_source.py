"""Source lines that travel with a function by value."""

from __future__ import annotations

import io
import linecache
import pickle
import traceback

import pytest

from oqkit.limits import TaskLimits
from oqkit.task.code import dump, loads
from oqkit.task.fingerprint import fingerprint
from oqkit.task.function import as_task
from oqkit.task.source import keep_sources, sources_of

LIMITS = TaskLimits()
CELL = """\
def inner(x):
    return 1 / x   # helper


def outer(x):
    total = (
        inner(x)
    )
    return total
"""


@pytest.fixture
def cell():
    """Type something into a cell, as IPython does; forget all files with the test."""
    known = dict(linecache.cache)

    def cell(text, *, name="<cell 1>"):
        lines = [f"{line}\n" for line in text.splitlines()]
        linecache.cache[name] = (len(text), None, lines, name)
        namespace = {"__name__": "__main__"}
        exec(compile(text, name, "exec"), namespace)
        return namespace

    yield cell
    linecache.cache.clear()
    linecache.cache.update(known)


def said(function):
    """Return the traceback of a call with 0."""
    try:
        function(0)
    except ZeroDivisionError as error:
        return "".join(traceback.format_exception(error))
    raise AssertionError("it did not fail")


def test_lines_of_a_function_and_of_what_it_calls_are_there_where_it_is_loaded(cell):
    data = dump(as_task(cell(CELL)["outer"]), limits=LIMITS)
    linecache.cache.clear()  # as in another process
    loaded = loads(data)
    told = said(loaded)
    assert "return 1 / x   # helper" in told
    assert "inner(x)" in told
    assert linecache.getline("<cell 1>", 2) == "    return 1 / x   # helper\n"


def test_older_reader_takes_the_pickle_alone(cell):
    data = dump(as_task(cell(CELL)["outer"]), limits=LIMITS)
    assert pickle.loads(data)(2) == 0.5
    stream = io.BytesIO(data)
    pickle.load(stream)
    assert b"helper" in stream.read()
    assert loads(data[: data.index(b'{"source"')])(2) == 0.5, "and what it wrote has no lines"


def test_fingerprint_knows_nothing_of_the_text(cell):
    others = (CELL.replace("# helper", "# another word"), f"\n\n{CELL}", CELL.replace("inner(x)", "inner(\n    x)"))
    known = fingerprint(cell(CELL)["outer"])
    assert {fingerprint(cell(text, name=f"<cell {n}>")["outer"]) for n, text in enumerate(others, 2)} == {known}


def test_only_so_much_text_travels_and_that_of_the_function_first(cell):
    functions = cell(CELL)
    codes = [functions["outer"].__code__, functions["inner"].__code__]
    n_bytes = len("".join(linecache.getlines("<cell 1>")[4:9]))
    assert b"total = (" in sources_of(codes, most_bytes=n_bytes)
    assert b"helper" not in sources_of(codes, most_bytes=n_bytes)
    assert sources_of(codes, most_bytes=n_bytes - 1) == sources_of(codes[1:], most_bytes=n_bytes)
    assert sources_of(codes, most_bytes=0) == b""


def test_function_without_known_lines_travels_without():
    namespace = {"__name__": "__main__"}
    exec("def f(x): return 1 / x", namespace)
    assert sources_of([namespace["f"].__code__], most_bytes=1000) == b""


def test_lines_of_two_cells_and_of_a_file_that_was_edited_do_not_mix(cell):
    first = sources_of([cell(CELL)["inner"].__code__], most_bytes=1000)
    second = sources_of([cell(CELL)["outer"].__code__], most_bytes=1000)
    edited = sources_of([cell(CELL.replace("helper", "mended"))["inner"].__code__], most_bytes=1000)
    linecache.cache.clear()
    for data in (second, first, edited):
        keep_sources(data)
    assert linecache.getline("<cell 1>", 2) == "    return 1 / x   # mended\n"
    assert linecache.getline("<cell 1>", 3) == "\n"
    assert linecache.getline("<cell 1>", 5) == "def outer(x):\n"


def test_lines_that_are_known_stay_as_they_are(cell, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(CELL)
    function = cell(CELL, name=str(path))["outer"]
    linecache.cache.clear()
    data = dump(as_task(function), limits=LIMITS)
    loads(data)
    assert linecache.cache[str(path)][1] is not None, "of a file that is here, its own time of change"


@pytest.mark.parametrize(
    ("here", "elsewhere"),
    (
        ("/tmp/ipykernel_71/1234567.py", "<cell 1234567>"),
        ("<ipython-input-5-0a1b2c>", "<cell 0a1b2c>"),
        ("/home/ana/score.py", "/home/ana/score.py"),
    ),
)
def test_cells_have_a_name_that_is_the_same_in_every_kernel(cell, here, elsewhere):
    data = dump(as_task(cell(CELL, name=here)["outer"]), limits=LIMITS)
    assert loads(data).function.__code__.co_filename == elsewhere
    assert linecache.getline(elsewhere, 2) == "    return 1 / x   # helper\n"
    assert data == dump(as_task(cell(CELL, name=here)["outer"]), limits=LIMITS)
