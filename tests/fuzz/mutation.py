"""Damage to real documents: what is dropped, retyped, scaled, swapped, cut off, nested or flipped, by a seed."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from tests.document import Path, holder_of, paths

STRANGE = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**53, 2**63, 10**9, 10**18, 10**400, 0.5, -0.0, 1e-300, 1e300, 1e308),
    *("", "x", "../x", "/etc/passwd", "a/b", "\x00", "é" * 40, "x" * 100_000, "1", "running", "completed", "frame"),
    *(
        [],
        [[]],
        [1],
        [None],
        [[0, 1]],
        [[0, 2**60]],
        [[5, 1]],
        {},
        {"x": 1},
        {"kind": "values"},
        "AAAA",
        "eJwDAAAAAAE=",
    ),
)


def mutated(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Return what was done to a document, and the outcome; JSON most often stays JSON."""
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        doc = None
    if not isinstance(doc, dict) or rng.random() < 0.15:
        return _bytes(data, rng)
    path = rng.choice(list(paths(doc))[1:])
    act = rng.choice((_drop, _retype, _retype, _scale, _swap, _nest, _double))
    told = act(doc, path, rng)
    return f"{told} {'.'.join(map(str, path))}", json.dumps(doc).encode()


def renamed(key: str, rng: random.Random) -> str:
    """Return the name of a marker with one thing in it changed; it still can be a key."""
    numbers = list(re.finditer(r"[0-9a-z]+", key))
    spot = rng.choice(numbers[1:])
    new = rng.choice(
        ("9" * 400, "9" * 14, "0", "-1", "", "00000000000000", "zz", "٣", "1e9", "0" * 18, "code", "later")
    )
    return re.sub(r"/+", "/", key[: spot.start()] + new + key[spot.end() :]).strip("/")


def _drop(doc: Any, path: Path, rng: random.Random) -> str:
    del holder_of(doc, path)[path[-1]]
    return "drop"


def _retype(doc: Any, path: Path, rng: random.Random) -> str:
    value = rng.choice(STRANGE)
    holder_of(doc, path)[path[-1]] = value
    return f"{value!r:.30} for"


def _scale(doc: Any, path: Path, rng: random.Random) -> str:
    value = holder_of(doc, path)[path[-1]]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _retype(doc, path, rng)
    factor = rng.choice((-1, 2, 1000, 10**9, 10**30))
    holder_of(doc, path)[path[-1]] = value * factor + rng.choice((0, 1))
    return f"{factor} times"


def _swap(doc: Any, path: Path, rng: random.Random) -> str:
    """Exchange a value with another one, as when the documents of two jobs are mixed up."""
    other = rng.choice(list(paths(doc))[1:])
    if path[: len(other)] == other or other[: len(path)] == path:
        return _retype(doc, path, rng)
    one, two = holder_of(doc, path), holder_of(doc, other)
    one[path[-1]], two[other[-1]] = two[other[-1]], one[path[-1]]
    return f"{'.'.join(map(str, other))} and"


def _nest(doc: Any, path: Path, rng: random.Random) -> str:
    value = holder_of(doc, path)[path[-1]]
    depth = rng.choice((1, 3, 150, 400))
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"x": value}
    holder_of(doc, path)[path[-1]] = value
    return f"nest {depth}"


def _double(doc: Any, path: Path, rng: random.Random) -> str:
    holder = holder_of(doc, path)
    if isinstance(holder, list):
        holder.append(holder[path[-1]])
    else:
        holder[f"{path[-1]}_"] = holder[path[-1]]
    return "double"


def _bytes(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    act = rng.choice(("cut", "flip", "empty", "zeros", "twice", "deep", "other"))
    spot = rng.randrange(len(data)) if data else 0
    flipped = bytearray(data or b"x")
    flipped[spot % len(flipped)] ^= 1 << rng.randrange(8)
    return act, {
        "cut": data[:spot],
        "flip": bytes(flipped),
        "empty": b"",
        "zeros": bytes(len(data)),
        "twice": data + data,
        "deep": b'{"format": 1, "job": ' + b"[" * 100_000,
        "other": b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
    }[act]
