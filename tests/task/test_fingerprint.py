"""When two functions are the same."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types

import numpy as np
import pandas as pd
import pytest

from oqkit.task.fingerprint import fingerprint


def of(source, name="f", *, module="__main__", **names):
    """Return the fingerprint of the function `name` that `source` defines, as a notebook would."""
    namespace = {"__name__": module, **names}
    exec(compile(textwrap.dedent(source), f"<cell {id(namespace)}>", "exec"), namespace)
    return fingerprint(namespace[name])


BASE = """
    def f(x, y=1):
        total = x + y
        return total * 2
"""


@pytest.mark.parametrize(
    "same",
    (
        BASE.replace("total = x + y", "total = x + y  # the sum"),
        "\n\n\n" + BASE,
        BASE.replace("total = x + y", "\n\n        total = (\n            x + y\n        )"),
        BASE.replace("y=1", "y: float = 1"),
    ),
    ids=["comment", "blank lines", "layout", "annotation"],
)
def test_fingerprint_is_the_same_for_another_text_of_the_same_code(same):
    assert of(same) == of(BASE) is not None


def test_fingerprint_is_the_same_for_another_docstring():
    source = 'def f(x):\n    """{}"""\n    return x'
    assert of(source.format("One.")) == of(source.format("Two."))


CHANGES = {
    "constant": ("def f(x): return x + 1", "def f(x): return x + 2"),
    "type of constant": ("def f(x): return x + 1", "def f(x): return x + 1.0"),
    "operator": ("def f(x): return x + 1", "def f(x): return x - 1"),
    "default": ("def f(x, y=1): return y", "def f(x, y=2): return y"),
    "keyword default": ("def f(x, *, y=1, z=1): return y", "def f(x, *, y=1, z=2): return y"),
    "parameter": ("def f(x): return x", "def f(y): return y"),
    "global": ("A = 1\ndef f(x): return A", "A = 2\ndef f(x): return A"),
    "list": ("A = [1, 2]\ndef f(x): return A", "A = [1, 3]\ndef f(x): return A"),
    "first of dict": ("A = {1: 1, 2: 2}\ndef f(x): return A", "A = {1: 0, 2: 2}\ndef f(x): return A"),
    "last of dict": ("A = {1: 1, 2: 2}\ndef f(x): return A", "A = {1: 1, 2: 0}\ndef f(x): return A"),
    "deep in lists": ("A = [[1, [2]], [3]]\ndef f(x): return A", "A = [[1, [2]], [4]]\ndef f(x): return A"),
    "set": ("A = {1, 2}\ndef f(x): return A", "A = {1, 3}\ndef f(x): return A"),
    "helper": ("def h(x): return 1\ndef f(x): return h(x)", "def h(x): return 2\ndef f(x): return h(x)"),
    "helper's helper": (
        "def g(x): return 1\ndef h(x): return g(x)\ndef f(x): return h(x)",
        "def g(x): return 2\ndef h(x): return g(x)\ndef f(x): return h(x)",
    ),
    "global of a nested function": (
        "A = 1\ndef f(x):\n    def g(): return A\n    return g()",
        "A = 2\ndef f(x):\n    def g(): return A\n    return g()",
    ),
    "text in a comprehension": ("def f(xs): return [f'{x}a' for x in xs]", "def f(xs): return [f'{x}b' for x in xs]"),
    "text in a generator": ("def f(xs): return list('a' for x in xs)", "def f(xs): return list('b' for x in xs)"),
    "text in a lambda": ("f = lambda x: 'a'", "f = lambda x: 'b'"),
    "caught exception": (
        "def f(x):\n    try: return x()\n    except ValueError: return 0",
        "def f(x):\n    try: return x()\n    except KeyError: return 0",
    ),
    "coroutine": ("def f(x): return x", "async def f(x): return x"),
    "class method": (
        "class C:\n    def go(self): return 1\ndef f(x): return C().go()",
        "class C:\n    def go(self): return 2\ndef f(x): return C().go()",
    ),
    "class attribute": ("class C: a = 1\ndef f(x): return C.a", "class C: a = 2\ndef f(x): return C.a"),
    "base class": (
        "class B:\n    a = 1\nclass C(B): pass\ndef f(x): return C.a",
        "class B:\n    a = 2\nclass C(B): pass\ndef f(x): return C.a",
    ),
    "dataclass default": (
        "from dataclasses import dataclass\n@dataclass\nclass C: a: int = 1\ndef f(x): return C()",
        "from dataclasses import dataclass\n@dataclass\nclass C: a: int = 2\ndef f(x): return C()",
    ),
    "named tuple": (
        "from collections import namedtuple\nC = namedtuple('C', 'a')\ndef f(x): return C(1)",
        "from collections import namedtuple\nC = namedtuple('C', 'b')\ndef f(x): return C(1)",
    ),
    "enum": (
        "from enum import Enum\nclass C(Enum): A = 1\ndef f(x): return C.A",
        "from enum import Enum\nclass C(Enum): A = 2\ndef f(x): return C.A",
    ),
    "object": (
        "class C:\n    def __init__(self, a): self.a = a\nc = C(1)\ndef f(x): return c.a",
        "class C:\n    def __init__(self, a): self.a = a\nc = C(2)\ndef f(x): return c.a",
    ),
    "bound method of a dict": (
        "look = {1: 1}.get\ndef f(x): return look(x)",
        "look = {1: 2}.get\ndef f(x): return look(x)",
    ),
    "partial": (
        "from functools import partial\ng = partial(pow, 2)\ndef f(x): return g(x)",
        "from functools import partial\ng = partial(pow, 3)\ndef f(x): return g(x)",
    ),
    "regular expression": (
        "import re\np = re.compile('a')\ndef f(x): return p",
        "import re\np = re.compile('b')\ndef f(x): return p",
    ),
    "date": (
        "from datetime import date\nd = date(2024, 1, 1)\ndef f(x): return d",
        "from datetime import date\nd = date(2024, 1, 2)\ndef f(x): return d",
    ),
    "path": (
        "from pathlib import Path\np = Path('a')\ndef f(x): return p",
        "from pathlib import Path\np = Path('b')\ndef f(x): return p",
    ),
    "library function": (
        "from math import sin as g\ndef f(x): return g(x)",
        "from math import cos as g\ndef f(x): return g(x)",
    ),
    "ufunc": ("from numpy import sin as g\ndef f(x): return g(x)", "from numpy import cos as g\ndef f(x): return g(x)"),
}


@pytest.mark.parametrize(("one", "other"), CHANGES.values(), ids=CHANGES)
def test_fingerprint_sees_a_changed(one, other):
    assert of(one) == of(one) is not None
    assert of(one) != of(other) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    (
        (np.arange(3), np.arange(3) + 1),
        (np.float32(1), np.float32(2)),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
        (pd.Series([1.0], index=["a"]), pd.Series([1.0], index=["b"])),
    ),
    ids=["array", "scalar", "frame", "series index"],
)
def test_fingerprint_sees_changed_data(one, other):
    source = "def f(x): return data"
    assert of(source, data=one) == of(source, data=one.copy()) is not None
    assert of(source, data=one) != of(source, data=other)


def test_fingerprint_leaves_out_globals_that_only_share_a_name_with_an_attribute():
    source = "def f(row): return row.amount"
    assert of(source, amount=1) == of(source, amount=object()) is not None


@pytest.mark.parametrize("thing", (object(), iter([1]), np.array([object()])), ids=["object", "iterator", "objects"])
def test_fingerprint_is_unknown_when_a_value_is(thing):
    assert of("def f(x): return thing", thing=thing) is None


def test_fingerprint_bears_functions_and_values_that_contain_themselves():
    loop = [1]
    loop.append(loop)
    assert of("def f(x): return f(x) + g(x)\ndef g(x): return f(x)") is not None
    assert of("def f(x): return loop", loop=loop) is not None


def test_fingerprint_of_equal_values_does_not_depend_on_which_are_one_object():
    one, source = [1], "def f(x): return pair"
    assert of(source, pair=[one, one]) == of(source, pair=[[1], [1]])


def test_fingerprint_sees_the_helpers_in_the_users_own_modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def with_helper(body):
        helper = types.ModuleType("own_helper")
        helper.__file__ = str(tmp_path / "own_helper.py")
        exec(
            f"LIMIT = {body}\ndef inner(x): return LIMIT\ndef clean(x): return inner(x)\ndef unused(x): return {body}",
            vars(helper),
        )
        monkeypatch.setitem(sys.modules, "own_helper", helper)
        return (
            of("import own_helper\ndef f(x): return own_helper.clean(x)"),
            of("from own_helper import clean\ndef f(x): return clean(x)"),
            of("import own_helper\ndef f(x): return own_helper.other(x)"),
        )

    one, again, other = with_helper(1), with_helper(1), with_helper(2)
    assert None not in one
    assert one == again
    assert one[0] != other[0]
    assert one[1] != other[1]
    assert one[2] == other[2]  # it does not take what has changed


SCRIPT = """
import math
from dataclasses import dataclass
import numpy as np
import oqkit as oq

{comment}
TABLE = {{"a": [1, 2], "b": {{3, 4, "x", "y"}}}}

@dataclass
class Out:
    value: float
    note: str = "ok"

def helper(x):{comment}
    return math.sqrt(x) + len(TABLE["b"])

@oq.task(retries=2)
def score(x, y=2.0):
    {comment}
    if str(x) in {{"p", "q", "r"}}:
        raise oq.PermanentError("no")
    return Out(helper(x) + np.float64(y))

if __name__ == "__main__":
    from oqkit.task.fingerprint import fingerprint
    print(fingerprint(score))
"""


@pytest.mark.slow
def test_fingerprint_is_the_same_in_other_processes_and_files(tmp_path):
    found = set()
    for name, comment, seed in (("one.py", "", "1"), ("two.py", "# a remark", "2"), ("folder/three.py", "", "3")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(SCRIPT.format(comment=comment), encoding="utf-8")
        run = subprocess.run(
            [sys.executable, str(path)], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        found.add(run.stdout.strip())
    assert len(found) == 1
    assert found != {"None"}
