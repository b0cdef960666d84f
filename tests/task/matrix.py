"""Changes that a fingerprint must see, and changes that must leave it as it is: one a line, each (what, before, after).

`SOURCE_…` are sources of a function ``f``; `VALUE_…` are expressions for a global ``v`` that ``f`` returns;
`STEP_…` are a source and what is done before the function is looked at again; `MODULE_…` are the source
of a module ``own`` beside a function, whose source is the third. Run as a script with a file and ``before``, ``after`` or both,
it prints the fingerprints, taken in random order: nothing that one case leaves behind may matter to another.
"""

from __future__ import annotations

import base64
import json
import pickle
import random
import sys
import tempfile
from pathlib import Path

IMPORTS = """
import abc, collections, dataclasses, datetime, decimal, enum, fractions, functools, math, operator, re, types, typing, uuid
from collections import *; from dataclasses import dataclass, field; from pathlib import Path; from zoneinfo import ZoneInfo
import numpy as np, pandas as pd, pyarrow as pa, polars as pl, pydantic, oqkit as oq
from sklearn.linear_model import LinearRegression; from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline; from sklearn.preprocessing import StandardScaler
X = np.arange(12.0).reshape(6, 2)
def cap(n):
    def inner(x): return x * n
    return inner
def of(*bases, **names): return type("K", bases, names)
class Slots:
    __slots__ = ("a",)
    def __init__(self, a): self.a = a
class Both(Slots):
    def __init__(self, a, b): self.a, self.b = a, b
class Plain:
    def __init__(self, **names): vars(self).update(names)
class Own:
    def __init__(self, a, lock): self.a, self.lock = a, lock
    def __getstate__(self): return {"a": self.a}
class Model(pydantic.BaseModel):
    a: int = 1
    b: list[str] = []
"""

SOURCE_CHANGES = [
    ("constant", "def f(x): return x + 1", "def f(x): return x + 2"),
    ("type of a constant", "def f(x): return x + 1", "def f(x): return x + 1.0"),
    ("sign of zero", "def f(x): return 0.0", "def f(x): return -0.0"),
    ("True for 1", "def f(x): return (1, x)", "def f(x): return (True, x)"),
    ("operator", "def f(x): return x + 1", "def f(x): return x - 1"),
    ("comparison", "def f(x): return x < 1", "def f(x): return x <= 1"),
    ("condition", "def f(x): return 1 if x else 2", "def f(x): return 2 if x else 1"),
    ("default", "def f(x, y=1): return y", "def f(x, y=2): return y"),
    ("default of a keyword", "def f(x, *, y=1): return y", "def f(x, *, y=2): return y"),
    ("default that is a list", "def f(x, y=[1]): return y", "def f(x, y=[2]): return y"),
    ("parameter", "def f(x): return x", "def f(y): return y"),
    ("order of parameters", "def f(x, y): return x - y", "def f(y, x): return x - y"),
    ("keyword-only", "def f(x, y=1): return y", "def f(x, *, y=1): return y"),
    ("coroutine", "def f(x): return x", "async def f(x): return x"),
    ("generator", "def f(x): return x", "def f(x): yield x"),
    ("batch", "@oq.task\ndef f(x): return x", "@oq.task(batch=True)\ndef f(x): return x"),
    ("context", "def f(x, c): return x", "def f(x, c: oq.Context): return x"),
    ("global", "A = 1\ndef f(x): return A", "A = 2\ndef f(x): return A"),
    ("global in a comprehension", "A = 1\ndef f(x): return [A for _ in x]", "A = 2\ndef f(x): return [A for _ in x]"),
    ("global in a lambda", "A = 1\ndef f(x): return (lambda: A)()", "A = 2\ndef f(x): return (lambda: A)()"),

    ("closure", "f = cap(1)", "f = cap(2)"),
    ("helper", "def h(x): return 1\ndef f(x): return h(x)", "def h(x): return 2\ndef f(x): return h(x)"),
    ("helper's helper", "g = lambda: 1\nh = lambda: g()\ndef f(x): return h()", "g = lambda: 2\nh = lambda: g()\ndef f(x): return h()"),
    ("helper's default", "def h(a=1): return a\ndef f(x): return h()", "def h(a=2): return a\ndef f(x): return h()"),
    ("which of two", "g = lambda: 1\nh = lambda: 2\ndef f(x): return g() + h() + z()\nz = g", "g = lambda: 1\nh = lambda: 2\ndef f(x): return g() + h() + z()\nz = h"),
    ("one of a circle", "def f(x): return x and g(x - 1)\ndef g(x): return f(x) + 1", "def f(x): return x and g(x - 1)\ndef g(x): return f(x) + 2"),
    ("library function", "from math import sin as g\ndef f(x): return g(x)", "from math import cos as g\ndef f(x): return g(x)"),
    ("library by name", "import math as m\ndef f(x): return m.sqrt(x)", "import cmath as m\ndef f(x): return m.sqrt(x)"),
    ("import in the body", "def f(x):\n import math as m\n return m.sqrt(x)", "def f(x):\n import cmath as m\n return m.sqrt(x)"),
    ("name imported in the body", "def f(x):\n from math import sin as g\n return g(x)", "def f(x):\n from math import cos as g\n return g(x)"),
    ("attribute of the function", "def f(x): return f.a\nf.a = 1", "def f(x): return f.a\nf.a = 2"),
    ("attribute of a helper", "def h(): return h.a\nh.a = 1\ndef f(x): return h()", "def h(): return h.a\nh.a = 2\ndef f(x): return h()"),
    ("decorator's argument", "def d(n):\n def w(g): return lambda x: g(x) * n\n return w\n@d(1)\ndef f(x): return x", "def d(n):\n def w(g): return lambda x: g(x) * n\n return w\n@d(2)\ndef f(x): return x"),
    ("decorated function", "def d(g):\n @functools.wraps(g)\n def w(x): return g(x)\n return w\n@d\ndef f(x): return 1", "def d(g):\n @functools.wraps(g)\n def w(x): return g(x)\n return w\n@d\ndef f(x): return 2"),
    ("global of code without a module", "exec('A = 1\\ndef f(x): return A', out := {})\nf = out['f']", "exec('A = 2\\ndef f(x): return A', out := {})\nf = out['f']"),
    ("wraps a library's function", "def f(x): return 1\nfunctools.update_wrapper(f, np.mean)", "def f(x): return 2\nfunctools.update_wrapper(f, np.mean)"),
    ("cached function", "@functools.cache\ndef f(x): return 1", "@functools.cache\ndef f(x): return 2"),
    ("cached helper", "@functools.lru_cache\ndef h(): return 1\ndef f(x): return h()", "@functools.lru_cache\ndef h(): return 2\ndef f(x): return h()"),
    ("single dispatch", "@functools.singledispatch\ndef h(x): return 0\n@h.register\ndef _(x: int): return 1\ndef f(x): return h(x)", "@functools.singledispatch\ndef h(x): return 0\n@h.register\ndef _(x: int): return 2\ndef f(x): return h(x)"),
    ("context manager", "from contextlib import contextmanager\n@contextmanager\ndef h(): yield 1\ndef f(x):\n with h() as y: return y", "from contextlib import contextmanager\n@contextmanager\ndef h(): yield 2\ndef f(x):\n with h() as y: return y"),
    ("text in a comprehension", "def f(xs): return [f'{x}a' for x in xs]", "def f(xs): return [f'{x}b' for x in xs]"),
    ("caught exception", "def f(x):\n try: return x()\n except ValueError: return 0", "def f(x):\n try: return x()\n except KeyError: return 0"),
    ("set of a constant", "def f(x): return x in {'a', 'b'}", "def f(x): return x in {'a', 'c'}"),
    ("match", "def f(x):\n match x:\n  case [1, y]: return y", "def f(x):\n match x:\n  case [2, y]: return y"),
    ("method", "class C:\n def go(self): return 1\ndef f(x): return C().go()", "class C:\n def go(self): return 2\ndef f(x): return C().go()"),
    ("static method", "class C:\n @staticmethod\n def go(): return 1\ndef f(x): return C.go()", "class C:\n @staticmethod\n def go(): return 2\ndef f(x): return C.go()"),
    ("class method", "class C:\n @classmethod\n def go(cls): return 1\ndef f(x): return C.go()", "class C:\n @classmethod\n def go(cls): return 2\ndef f(x): return C.go()"),
    ("property", "class C:\n @property\n def a(self): return 1\ndef f(x): return C().a", "class C:\n @property\n def a(self): return 2\ndef f(x): return C().a"),
    ("cached property", "class C:\n @functools.cached_property\n def a(self): return 1\ndef f(x): return C().a", "class C:\n @functools.cached_property\n def a(self): return 2\ndef f(x): return C().a"),
    ("class attribute", "class C: a = 1\ndef f(x): return C.a", "class C: a = 2\ndef f(x): return C.a"),
    ("base class", "class B: a = 1\nclass C(B): pass\ndef f(x): return C.a", "class B: a = 2\nclass C(B): pass\ndef f(x): return C.a"),
    ("order of bases", "class A: a = 1\nclass B: a = 2\nclass C(A, B): pass\ndef f(x): return C.a", "class A: a = 1\nclass B: a = 2\nclass C(B, A): pass\ndef f(x): return C.a"),
    ("method of a metaclass", "class M(type):\n def go(cls): return 1\nclass C(metaclass=M): pass\ndef f(x): return C.go()", "class M(type):\n def go(cls): return 2\nclass C(metaclass=M): pass\ndef f(x): return C.go()"),
    ("class of a global object", "class C:\n def go(self): return 1\nc = C()\ndef f(x): return c.go()", "class C:\n def go(self): return 2\nc = C()\ndef f(x): return c.go()"),
    ("descriptor", "class D:\n def __get__(self, o, t): return 1\nclass C: a = D()\ndef f(x): return C.a", "class D:\n def __get__(self, o, t): return 2\nclass C: a = D()\ndef f(x): return C.a"),
    ("protocol", "class P(typing.Protocol):\n def go(self): return 1\nclass C(P): pass\ndef f(x): return C().go()", "class P(typing.Protocol):\n def go(self): return 2\nclass C(P): pass\ndef f(x): return C().go()"),
    ("default of a dataclass", "@dataclass\nclass C: a: int = 1\ndef f(x): return C()", "@dataclass\nclass C: a: int = 2\ndef f(x): return C()"),
    ("factory of a dataclass", "@dataclass\nclass C: a: list = field(default_factory=list)\ndef f(x): return C()", "@dataclass\nclass C: a: list = field(default_factory=dict)\ndef f(x): return C()"),
    ("order of fields", "@dataclass\nclass C:\n a: int\n b: int\ndef f(x): return C(1, 2)", "@dataclass\nclass C:\n b: int\n a: int\ndef f(x): return C(1, 2)"),
    ("frozen dataclass", "@dataclass\nclass C: a: int\ndef f(x): return C(1)", "@dataclass(frozen=True)\nclass C: a: int\ndef f(x): return C(1)"),
    ("named tuple", "C = namedtuple('C', 'a b')\ndef f(x): return C(1, 2)", "C = namedtuple('C', 'b a')\ndef f(x): return C(1, 2)"),
    ("default of a named tuple", "class C(typing.NamedTuple): a: int = 1\ndef f(x): return C()", "class C(typing.NamedTuple): a: int = 2\ndef f(x): return C()"),
    ("member of an enum", "class C(enum.Enum): A = 1\ndef f(x): return C.A", "class C(enum.Enum): A = 2\ndef f(x): return C.A"),
    ("method of an enum", "class C(enum.Enum):\n A = 1\n def go(self): return 1\ndef f(x): return C.A.go()", "class C(enum.Enum):\n A = 1\n def go(self): return 2\ndef f(x): return C.A.go()"),
    ("which member", "class C(enum.Flag):\n A = 1\n B = 2\nv = C.A\ndef f(x): return v", "class C(enum.Flag):\n A = 1\n B = 2\nv = C.A | C.B\ndef f(x): return v"),
    ("field of a model", "class C(pydantic.BaseModel): a: int = 1\ndef f(x): return C()", "class C(pydantic.BaseModel): a: int = 2\ndef f(x): return C()"),
    ("type of a model's field", "class C(pydantic.BaseModel): a: int\ndef f(x): return C(a=x)", "class C(pydantic.BaseModel): a: str\ndef f(x): return C(a=x)"),
    ("bound of a model's field", "class C(pydantic.BaseModel): a: int = pydantic.Field(gt=1)\ndef f(x): return C(a=x)", "class C(pydantic.BaseModel): a: int = pydantic.Field(gt=2)\ndef f(x): return C(a=x)"),
    ("validator of a model", "class C(pydantic.BaseModel):\n a: int\n @pydantic.field_validator('a')\n def v(cls, a): return a + 1\ndef f(x): return C(a=x)", "class C(pydantic.BaseModel):\n a: int\n @pydantic.field_validator('a')\n def v(cls, a): return a + 2\ndef f(x): return C(a=x)"),
    ("kind of a validator", "class C(pydantic.BaseModel):\n a: int\n @pydantic.field_validator('a')\n def v(cls, a): return a\ndef f(x): return C(a=x)", "class C(pydantic.BaseModel):\n a: int\n @pydantic.field_validator('a', mode='before')\n def v(cls, a): return a\ndef f(x): return C(a=x)"),
    ("settings of a model", "class C(pydantic.BaseModel):\n model_config = {'extra': 'allow'}\n a: int\ndef f(x): return C(a=x, b=1)", "class C(pydantic.BaseModel):\n model_config = {'extra': 'ignore'}\n a: int\ndef f(x): return C(a=x, b=1)"),
]  # fmt: skip

SOURCE_KEEPS = [
    ("comment", "def f(x): return x", "def f(x): return x  # the same"),
    ("blank lines", "def f(x): return x", "\n\n\ndef f(x):\n\n    return x"),
    ("layout", "def f(x): return x + 1 + x", "def f(x):\n  return (\n    x\n    + 1 + x\n  )"),
    ("added docstring", "def f(x): return x + 1", "def f(x):\n 'adds'\n return x + 1"),
    ("added docstring beside None", "def f(x): return None if x else 1", "def f(x):\n 'adds'\n return None if x else 1"),
    ("other docstring", "def f(x):\n 'one'\n return x", "def f(x):\n 'two'\n return x"),
    ("docstring of a helper", "def h(): return None\ndef f(x): return h()", "def h():\n 'doc'\n return None\ndef f(x): return h()"),
    ("docstring of a class", "class C: a = 1\ndef f(x): return C.a", "class C:\n 'doc'\n a = 1\ndef f(x): return C.a"),
    ("docstring of a method", "class C:\n def go(self): return None\ndef f(x): return C().go()", "class C:\n def go(self):\n  'doc'\n  return None\ndef f(x): return C().go()"),
    ("docstring of an inner function", "def f(x):\n def g(): return None\n return g()", "def f(x):\n def g():\n  'doc'\n  return None\n return g()"),
    ("docstring of a generator", "def f(x):\n yield None", "def f(x):\n 'doc'\n yield None"),
    ("annotation", "def f(x): return x", "def f(x: int) -> float: return x"),
    ("name of a local variable", "def f(x):\n a = x\n return a + 1", "def f(x):\n b = x\n return b + 1"),
    ("name of the function", "def f(x): return x", "def g(x): return x\nf = g"),
    ("unused global", "A = 1\ndef f(x): return x", "A = 2\ndef f(x): return x"),
    ("unused helper", "def h(): return 1\ndef f(x): return x", "def h(): return 2\ndef f(x): return x"),
    ("global named as an attribute", "amount = 1\ndef f(row): return row.amount", "amount = 2\ndef f(row): return row.amount"),
    ("order of definitions", "def g(): return 1\ndef h(): return 2\ndef f(x): return g() + h()", "def h(): return 2\ndef g(): return 1\ndef f(x): return g() + h()"),
    ("order of methods", "class C:\n def a(self): return 1\n def b(self): return 2\ndef f(x): return C", "class C:\n def b(self): return 2\n def a(self): return 1\ndef f(x): return C"),
    ("options of the task", "@oq.task(retries=1)\ndef f(x): return x", "@oq.task(retries=2, timeout=3)\ndef f(x): return x"),
    ("named tuple", "C = namedtuple('C', 'a b')\ndef f(x): return C(1, 2)", "C = namedtuple('C', ['a', 'b'])\ndef f(x): return C(1, 2)"),
    ("pydantic model", "class C(pydantic.BaseModel): a: int = 1\ndef f(x): return C()", "class C(pydantic.BaseModel):\n 'doc'\n a: int = 1\ndef f(x): return C()"),
    ("dataclass", "@dataclass\nclass C: a: int = 1\ndef f(x): return C()", "@dataclass\nclass C:\n 'doc'\n a: int = 1\ndef f(x): return C()"),
    ("protocol", "class P(typing.Protocol): a: int\ndef f(x): return P", "class P(typing.Protocol):\n 'doc'\n a: int\ndef f(x): return P"),
    ("circle of functions", "def f(x): return x and g(x - 1)\ndef g(x): return f(x)", "def g(x): return f(x)\ndef f(x): return x and g(x - 1)"),
    ("circle of classes", "class A:\n def b(self): return B()\nclass B:\n def a(self): return A()\ndef f(x): return A().b()", "class B:\n def a(self): return A()\nclass A:\n def b(self): return B()\ndef f(x): return A().b()"),
    ("functions in a set", "def g(): return f\ndef f(x): return S\nS = {f, g}", "def g(): return f\ndef f(x): return S\nS = {g, f}"),
    ("import in the body", "def f(x):\n import sklearn.linear_model as m\n return m", "def f(x):\n import sklearn.linear_model as m\n return m  # the same"),
    ("single dispatch that was called", "@functools.singledispatch\ndef h(x): return 0\ndef f(x): return h(x)", "@functools.singledispatch\ndef h(x): return 0\nh(1)\ndef f(x): return h(x)"),
]  # fmt: skip

VALUE_CHANGES = [
    ("int", "1", "2"), ("int for float", "1", "1.0"), ("bool for int", "1", "True"), ("text", "'a'", "'b'"),
    ("bytes for text", "b'a'", "'a'"), ("bytearray", "bytearray(b'a')", "bytearray(b'b')"), ("large int", "2**70", "2**71"),
    ("complex", "1j", "2j"), ("range", "range(2)", "range(3)"), ("slice", "slice(1, 2)", "slice(1, 3)"),
    ("list", "[1, 2]", "[1, 3]"), ("order of a list", "[1, 2]", "[2, 1]"), ("tuple for list", "(1, 2)", "[1, 2]"),
    ("nesting", "[[1], [2, 3]]", "[[1, 2], [3]]"), ("deep", "[[1, [2]], [3]]", "[[1, [2]], [4]]"),
    ("dict's value", "{1: 1, 2: 2}", "{1: 1, 2: 0}"), ("dict's key", "{1: 1}", "{'1': 1}"), ("dict's order", "{1: 1, 2: 2}", "{2: 2, 1: 1}"),
    ("set", "{1, 2}", "{1, 3}"), ("frozen set", "frozenset('ab')", "frozenset('ac')"), ("frozen for set", "{1}", "frozenset({1})"),
    ("set of tuples", "{(1, 2)}", "{(2, 1)}"), ("set in a set", "{frozenset('a')}", "{frozenset('b')}"),
    ("array in a list", "[np.array([1])]", "[np.array([2])]"), ("scalar in a list", "[np.int64(1)]", "[np.float64(1)]"),
    ("deque", "deque([1])", "deque([2])"), ("length of a deque", "deque([1], 2)", "deque([1], 3)"),
    ("default dict", "defaultdict(list, a=1)", "defaultdict(list, a=2)"), ("factory", "defaultdict(list)", "defaultdict(set)"),
    ("factory's code", "defaultdict(lambda: 1)", "defaultdict(lambda: 2)"), ("counter", "Counter('aab')", "Counter('abb')"),
    ("ordered dict", "OrderedDict(a=1)", "OrderedDict(a=2)"), ("chain map", "ChainMap({1: 1})", "ChainMap({1: 2})"),
    ("namespace", "types.SimpleNamespace(a=1)", "types.SimpleNamespace(a=2)"), ("mapping proxy", "types.MappingProxyType({1: 1})", "types.MappingProxyType({1: 2})"),
    ("date", "datetime.date(2024, 1, 1)", "datetime.date(2024, 1, 2)"), ("time zone", "datetime.datetime(2024, 1, 1, tzinfo=ZoneInfo('UTC'))", "datetime.datetime(2024, 1, 1, tzinfo=ZoneInfo('Asia/Tokyo'))"),
    ("duration", "datetime.timedelta(1)", "datetime.timedelta(2)"), ("decimal", "decimal.Decimal('1')", "decimal.Decimal('1.0')"),
    ("fraction", "fractions.Fraction(1, 2)", "fractions.Fraction(1, 3)"), ("uuid", "uuid.UUID(int=1)", "uuid.UUID(int=2)"),
    ("path", "Path('a')", "Path('b')"), ("pattern", "re.compile('a')", "re.compile('b')"), ("flags of a pattern", "re.compile('a')", "re.compile('a', re.I)"),
    ("partial", "functools.partial(pow, 2)", "functools.partial(pow, 3)"), ("partial's function", "functools.partial(cap(1), 2)", "functools.partial(cap(2), 2)"),
    ("item getter", "operator.itemgetter(1)", "operator.itemgetter(2)"), ("method of a dict", "{1: 1}.get", "{1: 2}.get"), ("method of an object", "Plain(a=1).__eq__", "Plain(a=2).__eq__"),
    ("exception", "ValueError('a')", "ValueError('b')"), ("type", "list[int]", "list[str]"), ("optional", "typing.Optional[int]", "typing.Optional[str]"), ("union", "int | None", "str | None"),
    ("object", "Plain(a=1)", "Plain(a=2)"), ("object in an object", "Plain(a=Plain(b=1))", "Plain(a=Plain(b=2))"), ("attribute's name", "Plain(a=1)", "Plain(b=1)"),
    ("slots", "Slots(1)", "Slots(2)"), ("slots of a base", "Both(1, 2)", "Both(2, 2)"), ("beside slots", "Both(1, 2)", "Both(1, 3)"),
    ("own pickling", "Own(1, iter([]))", "Own(2, iter([]))"),
    ("list subclass's items", "of(list)([1])", "of(list)([2])"), ("list subclass's method", "of(list, go=lambda s: 1)([1])", "of(list, go=lambda s: 2)([1])"),
    ("dict subclass's method", "of(dict, go=lambda s: 1)(a=1)", "of(dict, go=lambda s: 2)(a=1)"), ("text subclass's method", "of(str, go=lambda s: 1)('a')", "of(str, go=lambda s: 2)('a')"),
    ("int subclass's value", "of(int)(1)", "of(int)(2)"), ("int subclass's method", "of(int, go=lambda s: 1)(1)", "of(int, go=lambda s: 2)(1)"),
    ("tuple subclass's method", "of(tuple, go=lambda s: 1)((1,))", "of(tuple, go=lambda s: 2)((1,))"), ("set subclass's method", "of(set, go=lambda s: 1)('a')", "of(set, go=lambda s: 2)('a')"),
    ("list subclass's state", "(lambda o: vars(o).update(a=1) or o)(of(list)())", "(lambda o: vars(o).update(a=2) or o)(of(list)())"),
    ("set subclass's state", "(lambda o: vars(o).update(a=1) or o)(of(set)())", "(lambda o: vars(o).update(a=2) or o)(of(set)())"),
    ("text subclass's state", "(lambda o: vars(o).update(a=1) or o)(of(str)('a'))", "(lambda o: vars(o).update(a=2) or o)(of(str)('a'))"),
    ("dataclass", "dataclasses.make_dataclass('D', ['a'])(1)", "dataclasses.make_dataclass('D', ['a'])(2)"),
    ("dataclass with slots", "dataclasses.make_dataclass('D', ['a'], slots=True)(1)", "dataclasses.make_dataclass('D', ['a'], slots=True)(2)"),
    ("model", "Model(a=1)", "Model(a=2)"), ("which fields were set", "Model()", "Model(a=1)"), ("list of a model", "Model(b=['x'])", "Model(b=['y'])"),
    ("array", "np.arange(3)", "np.arange(3) + 1"), ("array's type", "np.arange(3)", "np.arange(3.0)"), ("array's shape", "np.zeros((2, 3))", "np.zeros((3, 2))"),
    ("array of objects", "np.array([1, 'a'], object)", "np.array([1, 'b'], object)"), ("array of records", "np.array([(1, 2.0)], 'i4,f8')", "np.array([(1, 3.0)], 'i4,f8')"),
    ("array's unit", "np.array([1], 'M8[s]')", "np.array([1], 'M8[ms]')"), ("masked array", "np.ma.array([1, 2], mask=[0, 1])", "np.ma.array([1, 2], mask=[1, 0])"),
    ("array subclass's state", "(lambda o: vars(o).update(a=1) or o)(np.zeros(1).view(of(np.ndarray)))", "(lambda o: vars(o).update(a=2) or o)(np.zeros(1).view(of(np.ndarray)))"),
    ("numpy scalar", "np.float32(1)", "np.float32(2)"), ("numpy type", "np.dtype('i4')", "np.dtype('i8')"), ("numpy function", "np.sin", "np.cos"),
    ("vectorized", "np.vectorize(lambda x: 1)", "np.vectorize(lambda x: 2)"), ("generator of chance", "np.random.default_rng(1)", "np.random.default_rng(2)"),
    ("frame", "pd.DataFrame({'a': [1, 2]})", "pd.DataFrame({'a': [1, 3]})"), ("column's name", "pd.DataFrame({'a': [1]})", "pd.DataFrame({'b': [1]})"),
    ("column's type", "pd.DataFrame({'a': [1]})", "pd.DataFrame({'a': [1.0]})"), ("order of columns", "pd.DataFrame({'a': [1], 'b': [2]})", "pd.DataFrame({'b': [2], 'a': [1]})"),
    ("index", "pd.DataFrame({'a': [1]}, index=[1])", "pd.DataFrame({'a': [1]}, index=[2])"), ("index name", "pd.DataFrame({'a': [1]}).rename_axis('x')", "pd.DataFrame({'a': [1]}).rename_axis('y')"),
    ("attrs", "(lambda d: d.attrs.update(a=1) or d)(pd.DataFrame({'a': [1]}))", "(lambda d: d.attrs.update(a=2) or d)(pd.DataFrame({'a': [1]}))"),
    ("order of categories", "pd.Categorical(['a', 'b'], ['a', 'b'])", "pd.Categorical(['a', 'b'], ['b', 'a'])"), ("ordered categories", "pd.Categorical(['a'])", "pd.Categorical(['a'], ordered=True)"),
    ("unused category", "pd.Series(['a'], dtype=pd.CategoricalDtype(['a', 'b']))", "pd.Series(['a'], dtype=pd.CategoricalDtype(['a', 'c']))"),
    ("series", "pd.Series([1.0])", "pd.Series([2.0])"), ("series' name", "pd.Series([1], name='a')", "pd.Series([1], name='b')"), ("text in a series", "pd.Series(['a'])", "pd.Series(['b'])"),
    ("null in a series", "pd.Series([1, None], dtype='Int64')", "pd.Series([1, 0], dtype='Int64')"), ("dates", "pd.date_range('2024', periods=2)", "pd.date_range('2025', periods=2)"), ("zone of dates", "pd.date_range('2024', periods=2, tz='UTC')", "pd.date_range('2024', periods=2)"),
    ("pandas index", "pd.Index(['a'])", "pd.Index(['b'])"), ("multi index", "pd.MultiIndex.from_product([[1], [2]])", "pd.MultiIndex.from_product([[1], [3]])"), ("timestamp", "pd.Timestamp('2024')", "pd.Timestamp('2025')"),
    ("nanosecond", "pd.Timestamp(1)", "pd.Timestamp(2)"), ("pandas duration", "pd.Timedelta('1D')", "pd.Timedelta('2D')"), ("period", "pd.Period('2024')", "pd.Period('2025')"), ("offset", "pd.offsets.Day(1)", "pd.offsets.Day(2)"),
    ("interval", "pd.Interval(0, 1)", "pd.Interval(0, 2)"), ("list in a series", "pd.Series([[1]])", "pd.Series([[2]])"), ("sparse", "pd.arrays.SparseArray([0, 1])", "pd.arrays.SparseArray([0, 2])"),
    ("Arrow table", "pa.table({'a': [1]})", "pa.table({'a': [2]})"), ("Arrow name", "pa.table({'a': [1]})", "pa.table({'b': [1]})"), ("Arrow array", "pa.array([1])", "pa.array([2])"), ("Arrow type", "pa.int32()", "pa.int64()"),
    ("Arrow schema", "pa.schema([('a', pa.int32())])", "pa.schema([('a', pa.int64())])"), ("Arrow scalar", "pa.scalar(1)", "pa.scalar(2)"), ("dictionary", "pa.array(['a', 'b']).dictionary_encode()", "pa.DictionaryArray.from_arrays(pa.array([1, 0], 'int32'), ['b', 'a'])"),
    ("polars frame", "pl.DataFrame({'a': [1]})", "pl.DataFrame({'a': [2]})"), ("polars series", "pl.Series([1])", "pl.Series([2])"), ("polars name", "pl.Series('a', [1])", "pl.Series('b', [1])"), ("polars expression", "pl.col('a') + 1", "pl.col('a') + 2"),
    ("fitted model", "LinearRegression().fit(X, X[:, 0])", "LinearRegression().fit(X, X[:, 1])"), ("parameter of a model", "LinearRegression()", "LinearRegression(fit_intercept=False)"),
    ("forest", "RandomForestClassifier(2, random_state=0).fit(X, [0, 1] * 3)", "RandomForestClassifier(2, random_state=0).fit(X, [0, 0, 1] * 2)"), ("pipeline", "make_pipeline(StandardScaler()).fit(X)", "make_pipeline(StandardScaler()).fit(X * 2)"),
]  # fmt: skip

VALUE_KEEPS = [
    ("order of a set", "set('abcdefgh')", "set('hgfedcba')"), ("set of tuples", "{(1, 'a'), (2, 'b')}", "{(2, 'b'), (1, 'a')}"), ("set in a dict", "{'a': set('xyz')}", "{'a': set('zyx')}"),
    ("set in an object", "Plain(a=set('xyz'))", "Plain(a=set('zyx'))"), ("set subclass", "of(set)('abcd')", "of(set)('dcba')"), ("order of attributes", "Plain(a=1, b=2)", "Plain(b=2, a=1)"),
    ("one object twice", "(lambda a: [a, a])([Plain()])", "[[Plain()], [Plain()]]"), ("text built anew", "'ab' * 2", "''.join(['ab', 'ab'])"), ("list that holds itself", "(lambda a: a.append(a) or a)([1])", "(lambda a: a.append(a) or a)([1])"),
    ("object that holds itself", "(lambda p: setattr(p, 'me', p) or p)(Plain())", "(lambda p: setattr(p, 'me', p) or p)(Plain())"),
    ("lock that pickling leaves out", "Own(1, iter([]))", "Own(1, object())"), ("slots", "Slots(1)", "Slots(1)"), ("lambda", "lambda x: 1", "lambda x: 1"), ("environment", "__import__('os').environ", "__import__('os').environ"), ("logger", "__import__('logging').getLogger('a')", "__import__('logging').getLogger('a')"),
    ("memory layout", "np.arange(6).reshape(2, 3)", "np.asfortranarray(np.arange(6).reshape(2, 3))"), ("slice of an array", "np.arange(3)", "np.arange(6)[:3]"), ("every other", "np.array([0, 2])", "np.arange(4)[::2]"),
    ("gaps in records", "np.zeros(1, np.dtype('i1,f8', align=True))", "(lambda a: a.view('u1').__setitem__(slice(1, 8), 7) or a)(np.zeros(1, np.dtype('i1,f8', align=True)))"),
    ("under a mask", "np.ma.array([1, 2], mask=[0, 1])", "np.ma.array([1, 3], mask=[0, 1])"), ("blocks of a frame", "pd.DataFrame({'a': [1], 'b': [2]})", "pd.DataFrame({'a': [1]}).assign(b=2)"),
    ("copy of a frame", "pd.DataFrame({'a': [1], 'b': ['x']})", "pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']}).iloc[:1]"), ("categories", "pd.Categorical(['a', 'b'])", "pd.Categorical(['a', 'b'], ['a', 'b'])"),
    ("chunks of a table", "pa.table({'a': [1, 2]})", "pa.concat_tables([pa.table({'a': [1]}), pa.table({'a': [2]})])"), ("offset of an array", "pa.array([2, 3])", "pa.array([1, 2, 3])[1:]"), ("under a null", "pa.array([1, None])", "pa.array(np.array([1, 5]), mask=np.array([False, True]))"),
    ("chunks of polars", "pl.DataFrame({'a': [1, 2]})", "pl.concat([pl.DataFrame({'a': [1]}), pl.DataFrame({'a': [2]})], rechunk=False)"), ("model", "Model(b=['x'])", "Model(b=['x'])"), ("model's class", "Model", "Model"),
    ("fitted again", "LinearRegression().fit(X, X[:, 0])", "LinearRegression().fit(X.copy(), X[:, 0])"), ("forest again", "RandomForestClassifier(2, random_state=0).fit(X, [0, 1] * 3)", "RandomForestClassifier(2, random_state=0).fit(X, [0, 1] * 3)"),
    ("dates", "pd.date_range('2024', periods=2)", "pd.date_range('2024', periods=2)"), ("time zone", "ZoneInfo('Asia/Tokyo')", "ZoneInfo('Asia/Tokyo')"), ("generator of chance", "np.random.default_rng(1)", "np.random.default_rng(1)"),
]  # fmt: skip

#: (what, source, what is done before the function is looked at again)
STEP_CHANGES = [
    ("list is changed", "A = [1]\ndef f(x): return A", "A.append(2)"),
    ("table is filled", "A = {}\ndef f(x): return A[x]", "A['a'] = 1"),
    ("table with a fallback is filled", "A = {1: 1}\ndef f(x): return A.get(x, 0)", "A[2] = 2"),
    ("attribute is set", "c = Plain(a=1)\ndef f(x): return c.a", "c.a = 2"),
    ("method is replaced", "class C:\n def go(self): return 1\ndef f(x): return C().go()", "C.go = lambda self: 2"),
    ("array is written to", "A = np.zeros(3)\ndef f(x): return A", "A[0] = 1"),
    ("frame is written to", "A = pd.DataFrame({'a': [1]})\ndef f(x): return A", "A.loc[0, 'a'] = 2"),
    ("model is fitted again", "A = LinearRegression().fit(X, X[:, 0])\ndef f(x): return A", "A.fit(X, X[:, 1])"),
    ("chance is drawn", "A = np.random.default_rng(0)\ndef f(x): return A.random()", "A.random()"),
    ("counter is raised", "A = 0\ndef f(x):\n global A\n A += 1\n return A", "f(0)"),
]  # fmt: skip

STEP_KEEPS = [
    ("function is called", "def f(x): return x", "f(1)"),
    ("function is called often", "def f(x): return x + len('a')", "[f(1) for _ in range(5000)]"),
    ("cache is filled", "@functools.cache\ndef h(x): return x\ndef f(x): return h(x)", "f(1)"),
    ("cached property is filled", "class C:\n @functools.cached_property\n def a(self): return 1\nc = C()\ndef f(x): return c.a", "f(1)"),
    ("frame is looked at", "A = pd.DataFrame({'a': ['x']})\ndef f(x): return A", "repr(A), A['a'], A.loc[0], A.index.is_unique"),
    ("pattern is used", "A = re.compile('a')\ndef f(x): return A", "A.match('a')"),
    ("model is used", "A = LinearRegression().fit(X, X[:, 0])\ndef f(x): return A", "A.predict(X)"),
    ("pydantic is used", "def f(x): return Model(a=x)", "f(1), Model.model_json_schema()"),
    ("object is pickled", "v = Both(1, 2)\ndef f(x): return v", "v.__reduce_ex__(4)"),
    ("annotations are asked for", "class C: a = 1\ndef f(x): return C", "C.__annotations__"),
    ("instance check of a protocol", "@typing.runtime_checkable\nclass P(typing.Protocol): a: int\ndef f(x): return isinstance(x, P)", "f(1)"),
    ("instance check", "class P(abc.ABC): pass\ndef f(x): return isinstance(x, P)", "f(1)"),
    ("unused global is set", "A = 1\ndef f(x): return x", "A = 2"),
]  # fmt: skip

#: What is run again although it need not be: these cannot be told from a change of what was put there by hand.
NEEDLESS = [
    ("memo dict is filled", "A = {}\ndef f(x):\n if x not in A: A[x] = x * 2\n return A[x]", "f(1)"),
    ("memo in a default is filled", "def f(x, memo={}):\n if x not in memo: memo[x] = x * 2\n return memo[x]", "f(1)"),
]  # fmt: skip

#: (what, source of a module, the same changed, source of the function beside it)
MODULE_CHANGES = [
    ("global in a query", "A = 1\ndef g(d): return d.query('x > @A')", "A = 2\ndef g(d): return d.query('x > @A')", "from own import g\ndef f(d): return g(d)"),
    ("global in a class in it", "A = 1\ndef g():\n class C: a = A\n return C.a", "A = 2\ndef g():\n class C: a = A\n return C.a", "import own\ndef f(x): return own.g()"),
    ("used function", "def g(): return 1", "def g(): return 2", "import own\ndef f(x): return own.g()"),
    ("used constant", "A = 1", "A = 2", "import own\ndef f(x): return own.A"),
    ("function imported by name", "def g(): return 1", "def g(): return 2", "from own import g\ndef f(x): return g()"),
    ("what a function uses", "A = 1\ndef g(): return A", "A = 2\ndef g(): return A", "from own import g\ndef f(x): return g()"),
    ("import in the body", "def g(): return 1", "def g(): return 2", "def f(x):\n from own import g\n return g()"),
    ("module in the body", "def g(): return 1", "def g(): return 2", "def f(x):\n import own as m\n return m.g()"),
    ("import in a helper's body", "def g(): return 1", "def g(): return 2", "def h():\n from own import g\n return g()\ndef f(x): return h()"),
    ("getattr", "def g(): return 1", "def g(): return 2", "import own\ndef f(x): return getattr(own, 'g')()"),
    ("module that is handed on", "def g(): return 1", "def g(): return 2", "import own\ndef h(m): return m.g()\ndef f(x): return h(own)"),
    ("module in a list", "def g(): return 1", "def g(): return 2", "import own\nall_of = [own]\ndef f(x): return all_of[0].g()"),
    ("class", "class C:\n def go(self): return 1", "class C:\n def go(self): return 2", "from own import C\ndef f(x): return C().go()"),
    ("base class", "class B: a = 1", "class B: a = 2", "import own\nclass C(own.B): pass\ndef f(x): return C.a"),
    ("attribute asked of the module", "def __getattr__(n): return 1", "def __getattr__(n): return 2", "import own\ndef f(x): return own.anything"),
]  # fmt: skip

MODULE_KEEPS = [
    ("unused function", "def g(): return 1\ndef h(): return 1", "def g(): return 1\ndef h(): return 2", "import own\ndef f(x): return own.g()"),
    ("unused constant", "A = 1\ndef g(): return 1", "A = 2\ndef g(): return 1", "from own import g\ndef f(x): return g()"),
    ("comment", "def g(): return 1", "# a remark\n\ndef g():\n 'doc'\n return 1", "import own\ndef f(x): return own.g()"),
    ("import in the body", "def g(): return 1", "def g(): return 1  # as before", "def f(x):\n from own import g\n return g()"),
    ("place of the module", "from pathlib import Path\nHERE = Path(__file__).parent / 'data.csv'", "from pathlib import Path\n\nHERE = Path(__file__).parent / 'data.csv'", "import own\ndef f(x): return own.HERE"),
]  # fmt: skip

#: What cannot be told is never the same as anything.
UNKNOWN = [
    ("bare object", "v = object()\ndef f(x): return v"),
    ("iterator", "v = iter([1])\ndef f(x): return v"),
    ("generator", "v = (x for x in 'a')\ndef f(x): return v"),
    ("lock", "import threading\nv = threading.Lock()\ndef f(x): return v"),
    ("object with a lock", "import threading\nv = Plain(a=threading.Lock())\ndef f(x): return v"),
    ("open file", "v = open(__import__('os').devnull)\ndef f(x): return v"),
    ("eval", "def f(x): return eval('x + 1')"),
    ("exec", "def h(): exec('1')\ndef f(x): return h()"),
    ("globals", "def f(x): return globals()['a']"),
    ("relative import in a notebook", "def f(x):\n from .own import g\n return g"),
    ("missing module", "def f(x):\n import nowhere_to_be_found\n return 1"),
    ("compiled by numpy", "v = np.frompyfunc(lambda x: x, 1, 1)\ndef f(x): return v(x)"),
    ("weak dictionary", "import weakref\nv = weakref.WeakValueDictionary()\ndef f(x): return v"),
    ("dataset", "import pyarrow.dataset as ds\nv = ds.dataset([])\ndef f(x): return v"),
]  # fmt: skip


#: Of these pickling loses a part, so that what a worker loads is another function.
NOT_SHIPPED = ["value must change: array subclass's state"]


def pairs():
    """Return every case as (id, must change, before, after): what to run, each a tuple of a module and sources."""
    for change, table in ((True, SOURCE_CHANGES), (False, SOURCE_KEEPS)):
        yield from ((f"source {_must(change)}: {what}", change, ("", one), ("", other)) for what, one, other in table)
    for change, table in ((True, VALUE_CHANGES), (False, VALUE_KEEPS)):
        ask = "v = {}\ndef f(x): return v"
        yield from (
            (f"value {_must(change)}: {what}", change, ("", ask.format(one)), ("", ask.format(other)))
            for what, one, other in table
        )
    for change, table in ((True, [*STEP_CHANGES, *NEEDLESS]), (False, STEP_KEEPS)):
        yield from ((f"step {_must(change)}: {what}", change, ("", one), ("", one, step)) for what, one, step in table)
    for change, table in ((True, MODULE_CHANGES), (False, MODULE_KEEPS)):
        yield from (
            (f"module {_must(change)}: {what}", change, (one, source), (other, source))
            for what, one, other, source in table
        )


def _must(change):
    return "must change" if change else "must stay"


def evaluate(module, source, *steps, shared, folder):
    """Return ``f`` as a notebook would have it, and its fingerprint."""
    from oqkit.task.fingerprint import fingerprint

    sys.modules.pop("own", None)
    if module:
        path = Path(folder, f"{random.random()}")  # another place each time
        path.mkdir()
        (path / "own.py").write_text(module, encoding="utf-8")
        sys.path.insert(0, str(path))
    try:
        names = dict(shared)
        exec(source, names)
        if steps:
            fingerprint(names["f"])
        for step in steps:
            exec(step, names)
        return names["f"], fingerprint(names["f"])
    finally:
        if module:
            del sys.path[0]


def ship(function):
    """Return a function as it travels by value, in base64; None if it cannot."""
    import cloudpickle

    from oqkit.task.function import as_task

    try:
        return base64.b64encode(cloudpickle.dumps(as_task(function))).decode()
    except (TypeError, pickle.PicklingError):
        return None


def main(*sides, shipped):
    """Print the fingerprints of all cases; write "before" to the file `shipped`, or else read and print it too."""
    sys.dont_write_bytecode = True
    import oqkit.client.connect  # noqa: F401 - as in every process that has a queue: it knows frames
    from oqkit.task.fingerprint import fingerprint

    cases = [(f"{side} {what}", it[side == "after"]) for what, _, *it in pairs() for side in sides]
    cases += [(f"unknown {what}", ("", source)) for what, source in UNKNOWN]
    random.shuffle(cases)
    shared, path = {"__name__": "__main__"}, Path(shipped)
    exec(IMPORTS, shared)
    with tempfile.TemporaryDirectory() as folder:
        found = {what: evaluate(*case, shared=shared, folder=folder) for what, case in cases}
    prints = {what: known for what, (_, known) in found.items()}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
        prints |= {f"shipped {what}": fingerprint(pickle.loads(base64.b64decode(it))) for what, it in data.items()}
    else:
        data = {what: ship(found[what][0]) for what, (module, *_) in cases if what.startswith("before") and not module}
        path.write_text(json.dumps({what: it for what, it in data.items() if it}), encoding="utf-8")
    print(json.dumps(prints))


if __name__ == "__main__":
    main(*sys.argv[2:], shipped=sys.argv[1])
