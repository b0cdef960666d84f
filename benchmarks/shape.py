"""How many values carry a row: figures of the code itself, of any checkouts: ``python benchmarks/shape.py DIR ...``.

Read from the source: carriers of an outcome (classes with one of the names below), file names that occur in two rooms
(folders of the package), functions whose signature names `Any`, exemptions from "no private access", modules over 300 lines.

Seen at work, in a process of its own that imports the checkout: a job of two rows on ``memory://``, submitted, run by
one `Worker` and read back, after another one like it. Every class of oqkit has a `__new__` that notes it, so slots,
tuples and objects that live for a microsecond are counted; what msgspec makes (it calls no `__new__`) is found in what it
returns. Not counted: enums, and what only `_replace` of a named tuple makes.

* *classes, all*: distinct classes of which there was a new object from the submission to the result, in any thread.
* *classes, step*: of these, those with one that a thread of the worker made from the claimed lease to the end of its commit,
  but not while it looked for the next one;
  *classes, calls to commit*: without those that were needed no more once the inputs were read and the calls began.
* *flips*: how often the type of the row numbers changes from one carrier to the next, from the lease to the table that is
  stored, and from what was drained to what the part is told.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any

CARRIERS = (
    "Mishap",
    "CallError",
    "Load",
    "Finished",
    "Packed",
    "Commit",
    "Outcome",
    "Outcomes",
    "Results",
    "StoredResults",
)
"""Every name that a class has had whose objects say what became of rows, on the way from a call to the part or back."""
DRAINED, STORED = ("Load", "Results"), ("Outcomes", "StoredResults")
WAY = ("Work", *DRAINED, "Finished", *STORED)
"""Those of them, in order, that hold the numbers of rows that have a value."""
LONG = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    folders = [folder.resolve() for folder in options.checkouts]
    if options.probe:
        print(json.dumps(_seen(folders[0])))
        return
    figures = [{**_read(folder), **_seen_elsewhere(folder)} for folder in folders]
    for name in figures[0]:
        print(f"{name}: " + " → ".join(str(_short(one[name])) for one in figures))
    for name in ("carriers", "classes, step", "classes, calls to commit", "names in two rooms"):
        for folder, one in zip(folders, figures, strict=True):
            print(f"\n{name}, {folder.name}: {', '.join(one[name]) or 'none'}")


def _short(figure: Any) -> int:
    return len(figure) if isinstance(figure, list) else figure


# --- the source ----------------------------------------------------------------------------------


def _read(folder: Path) -> dict[str, Any]:
    files = {path: path.read_text(encoding="utf-8") for path in sorted((folder / "oqkit").rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in files.items()}
    rooms = defaultdict(set)
    for path in files:
        inner = path.relative_to(folder / "oqkit")
        if len(inner.parts) > 1 and not path.name.startswith("__"):
            rooms[path.name].add(inner.parts[0])
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    return {
        "carriers": [node.name for node in nodes if isinstance(node, ast.ClassDef) and node.name in CARRIERS],
        "names in two rooms": sorted(name for name, found in rooms.items() if len(found) > 1),
        "signatures with Any": sum(map(_names_any, nodes)),
        "private access": sum(text.count("noqa: SLF001") for text in files.values()),
        "modules over 300 lines": sum(text.count("\n") > LONG for text in files.values()),
    }


def _names_any(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    said = [*ast.walk(node.args), *(ast.walk(node.returns) if node.returns else ())]
    return any(isinstance(one, ast.Name) and one.id == "Any" for one in said)


# --- at work -------------------------------------------------------------------------------------


def _seen_elsewhere(folder: Path) -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, __file__, "--probe", folder], check=True, stdout=subprocess.PIPE, cwd=folder
    )
    return json.loads(found.stdout)


def score(x):
    return x + 0.5


def _seen(folder: Path) -> dict[str, Any]:
    sys.path.insert(0, str(folder))
    import pandas as pd

    import oqkit as oq

    if not Path(oq.__file__).is_relative_to(folder):
        raise AssertionError(oq.__file__)
    queue = oq.connect("memory://shape")

    def run(first: float) -> None:
        job = queue.submit_frame(pd.DataFrame({"x": [first, first + 1]}), "score", part_rows=2)
        oq.Worker(queue, [score]).run(until_idle=True)
        if job.result(60).iloc[:, 0].tolist() != [first + 0.5, first + 1.5]:
            raise AssertionError(first)

    run(0.0)  # imports what is imported late
    notes = Notes()
    notes.take()
    run(10.0)
    return {
        "classes, all": sorted(notes.all),
        "classes, step": sorted(notes.step),
        "classes, calls to commit": sorted(notes.calls),
        "flips": notes.flips(),
    }


class Notes:
    """What was made, once `take` has been called."""

    def __init__(self) -> None:
        self.all: set[str] = set()
        self.step: set[str] = set()
        self.calls: set[str] = set()
        self._since: list[str] = []
        """What the worker's threads made since the lease was claimed, in order."""
        self._n_before = 0
        """How much of that before the calls began."""
        self._is_held = False
        self._looking: set[int] = set()
        """Threads that look for a lease."""
        self._way: dict[str, Any] = {}

    def take(self) -> None:
        classes = list(_classes())
        for cls in classes:
            _count(cls, self._made)
        _count_msgspec(self._made)
        (held,) = (cls for cls in classes if cls.__name__ == "HeldLease")
        (runner,) = (cls for cls in classes if cls.__name__ in {"LeaseRunner", "Stint"})
        (claimer,) = (cls for cls in classes if cls.__name__ in {"Claimer", "Scout"})
        _before(claimer, "find", lambda _claimer: self._looking.add(threading.get_ident()))
        _after(claimer, "find", lambda _claimer: self._looking.discard(threading.get_ident()))
        _after(held, "__init__", self._claimed)
        _before(runner, "start", self._started)
        _after(held, "commit", self._committed)

    def _made(self, one: Any) -> None:
        name = type(one).__name__
        self.all.add(name)
        thread = threading.current_thread()
        if self._is_held and thread is not threading.main_thread() and thread.ident not in self._looking:
            self._since.append(name)
        if name in (*WAY, "Outcome"):
            self._way.setdefault(name, []).append(one)

    def _claimed(self, lease: Any) -> None:
        self._is_held = True
        self._way["lease"] = [type(lease.rows)]

    def _started(self, _runner: Any) -> None:
        self._n_before = len(self._since)

    def _committed(self, _lease: Any) -> None:
        self.step, self.calls = set(self._since), set(self._since[self._n_before :])

    def flips(self) -> int:
        """Count the changes of type."""
        kinds = {name: self._kind(name) for name in (*WAY, "Outcome") if name in self._way}
        way = [*self._way["lease"], *(kinds[name] for name in WAY if name in kinds)]
        (drained,) = (kinds[name] for name in DRAINED if name in kinds)
        return sum(one is not other for one, other in pairwise(way)) + (kinds["Outcome"] is not drained)

    def _kind(self, name: str) -> type:
        return next(type(one.rows) for one in self._way[name] if len(one.rows))


def _classes() -> Iterator[type]:
    """Yield every class of oqkit of which there can be objects; a base comes before what is made of it."""
    found = {
        thing
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "oqkit"
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__.partition(".")[0] == "oqkit"
    }
    yield from sorted(
        (cls for cls in found if not issubclass(cls, Enum) and not getattr(cls, "_is_protocol", False)),
        key=lambda cls: (len(cls.__mro__), cls.__qualname__),
    )


def _count(cls: type, made: Callable[[Any], None]) -> None:
    original = cls.__new__

    def new(kind, *args, **more):
        one = original(kind) if original is object.__new__ else original(kind, *args, **more)
        made(one)
        return one

    cls.__new__ = staticmethod(new)


def _count_msgspec(made: Callable[[Any], None]) -> None:
    try:
        import msgspec
    except ImportError:
        return
    convert = msgspec.convert

    def converted(*args, **more):
        found = convert(*args, **more)
        _look_into(found, made)
        return found

    msgspec.convert = converted


def _look_into(found: Any, made: Callable[[Any], None]) -> None:
    """Note all objects of oqkit in what msgspec made."""
    if isinstance(found, list | tuple | set | frozenset):
        inner = list(found)
    elif isinstance(found, dict):
        inner = [*found, *found.values()]
    elif type(found).__module__.partition(".")[0] == "oqkit" and hasattr(found, "__dataclass_fields__"):
        made(found)
        inner = [getattr(found, name) for name in found.__dataclass_fields__]
    else:
        return
    for one in inner:
        _look_into(one, made)


def _before(cls: type, name: str, first: Callable[[Any], None]) -> None:
    original = getattr(cls, name)

    def called(self, *args, **more):
        first(self)
        return original(self, *args, **more)

    setattr(cls, name, called)


def _after(cls: type, name: str, then: Callable[[Any], None]) -> None:
    original = getattr(cls, name)

    def called(self, *args, **more):
        result = original(self, *args, **more)
        then(self)
        return result

    setattr(cls, name, called)


if __name__ == "__main__":
    main()
