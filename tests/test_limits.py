"""The numbers that tune oqkit are in one frozen value, whoever has a queue has it, and the next one goes there too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

import oqkit
from oqkit.limits import Limits, QueueLimits
from oqkit.queue.repository import Repository, Settings, open_repository
from oqkit.queue.signature import Keyring
from oqkit.store.memory import MemoryStore

HERE = Path(oqkit.__file__).parent
ROOMS = tuple(field.name for field in fields(Limits))
UNITS = {
    float: {"s", "polls", "rings", "share", "factor"},
    int: {
        *(
            "bytes",
            "claims",
            "commits",
            "coroutines",
            "deaths",
            "doublings",
            "factor",
            "folders",
            "jobs",
            "leases",
            "looks",
        ),
        *(
            "markers",
            "names",
            "outputs",
            "pages",
            "parts",
            "reads",
            "records",
            "rows",
            "schedules",
            "shrinks",
            "signs",
            "slots",
            "threads",
        ),
    },
}

ELSEWHERE = {
    "bounds of what is stored, on which all versions must agree": {
        *("queue.dependency.FIRST_RECHECK_S", "queue.dependency.LONGEST_RECHECK_S", "queue.release.BLOCK"),
        *("queue.document.FORMAT", "queue.document.MAX_BYTES", "queue.gate.NEVER", "queue.key._ID_LENGTH"),
        *("queue.key._MILLIS", "queue.part.DONE_RING", "queue.part_log.LOG_RANGES", "queue.part_log.LOG_RING"),
        "queue.pause.ORDERS_RING",
        *("queue.limit.MAX_LIMITS", "queue.quota.MAX_GRANTS", "queue.quota.WINDOW_S", "queue.quota.GRACE_S"),
        *("queue.quota.SLACK_S", "queue.quota.LEAST_S", "queue.quota.FIRST_SHARE", "queue.quota.LEAST_SHARE"),
        *("queue.shard_table.MAX_SHARES", "queue.rows.MAX_RANGES", "queue.rows.MAX_ROW", "queue.rows.READABLE"),
        *("queue.rows._MAX_BYTES", "queue.rows._MORE", "queue.worker_record.MAX_DETAIL"),
        *("queue.worker_record.MAX_REFUSALS", "payload.dataset._MAX_GROUPS", "payload.seal._GROUP_DIGITS"),
        *(
            "task.failure.MAX_MESSAGE",
            "task.failure.MAX_TRACEBACK",
            "task.json_schema.MAX_BYTES",
            "queue.key._MOST_ITEMS",
            "queue.key._SEGMENT_CHARS",
        ),
        *(
            "payload.item_index.DIGEST_BYTES",
            "payload.item_index.FORMAT",
            "client.result_files._VERSION",
            "payload.item_index.MAX_BASE",
        ),
        *("queue.progress.MAX_AMOUNT", "queue.progress.MAX_ENTRIES", "queue.progress.MAX_MESSAGE"),
    },
    "what the identity of a function is made of, on which they must agree as well": {
        *("task.content._MAX_DEPTH", "task.content._MAX_SHARED"),
    },
    "of keys, which there are before a queue is opened": {
        *("queue.signature.MAX_JOBS", "queue.signature.MIN_KEY_BYTES"),
    },
    "what a user may give, and what holds where none is given": {
        *("task.request.MAX_EXTENSION_S", "worker.worker.GRACE_S", "worker.worker.LEASE_S"),
    },
    "facts of formats, of memory and of the system": {
        *("client.queue_status._DATE_S", "payload.output._ARROW_FACTOR", "payload.text_format._EXACT"),
        *("launch.launcher.EXIT_OUTDATED", "payload.cache._ENTRY_BYTES", "payload.parquet._FOOTER_END"),
        *("payload.parquet._PARSED", "payload.seal._END", "worker.buffer.N_CELLS", "worker.child.METER_BYTES"),
    },
    "against what goes on for ever": {
        "client.item_key._MOST_DIGITS",
        "payload.dataset_file._MAX_CAUSES",
        "payload.text_discovery._LARGEST",
        "task.handler._MAX_BOUND",
    },
    "of a display": {
        *("client.queue_trace.MAX_INDENT", "client.several.SHOWN", "client.wait.REFRESH_S", "queue.dependency.SHOWN"),
        *("task.json_schema._SHOWN", "task.schema.MAX_TOLD"),
    },
}


@pytest.mark.parametrize(
    "value", (Limits(), *(getattr(Limits(), room) for room in ROOMS)), ids=lambda one: type(one).__name__
)
def test_limits_are_never_changed(value):
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, 0)
    assert value == type(value)()
    assert hash(value) == hash(type(value)())


def test_every_limit_says_what_it_counts():
    assert [name for _, name, value in limits() if name.rpartition("_")[2] not in UNITS[type(value)]] == []


def test_every_limit_is_asked_for():
    source = "".join(path.read_text() for path in HERE.rglob("*.py"))
    assert [name for room, name, _ in limits() if not re.search(rf"(limits|{room})\.{name}\b", source)] == []


def limits() -> Iterator[tuple[str, str, float]]:
    """Yield every limit: its room, its name, its usual value."""
    for room in ROOMS:
        values = getattr(Limits(), room)
        yield from ((room, field.name, getattr(values, field.name)) for field in fields(values))


# --- whoever has a queue has them ----------------------------------------------------------------


def test_queue_has_the_usual_limits_unless_told_otherwise():
    store, own = MemoryStore(), Limits(queue=QueueLimits(patience_s=7.0))
    assert open_repository(store).limits == Limits()
    assert open_repository(store, limits=own).limits == own
    assert open_repository(MemoryStore(), limits=own).limits == own, "also of a queue that is new"


def test_reader_of_signed_jobs_has_the_limits_of_its_queue():
    repository = Repository(MemoryStore(), Settings(shards=1), limits=Limits(queue=QueueLimits(patience_s=7.0)))
    signed = repository.verifying(Keyring([b"k" * 32], scope="here"))
    assert signed is not repository
    assert signed.limits is repository.limits


# --- and the next one goes there -----------------------------------------------------------------


def test_no_number_tunes_a_room_but_those_in_limits():
    found = {name for room in ROOMS for name in constants(room)}
    assert found == set().union(*ELSEWHERE.values()), "a number that tunes something goes into oqkit/limits.py"


def constants(room: str) -> Iterator[str]:
    """Yield the upper-case numbers that the modules of a room define, but for `bound`, which are all bounds."""
    for path in sorted((HERE / room).glob("*.py")):
        for node in ast.parse(path.read_text()).body if path.stem != "bound" else ():
            yield from (f"{room}.{path.stem}.{name}" for name in numbers(node))


def numbers(node: ast.stmt) -> list[str]:
    """Return the upper-case names that a statement gives numbers to: also sums and products, and some at once."""
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
    kinds = (ast.Tuple, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Constant, ast.Name, ast.Load)
    parts = list(ast.walk(node.value))
    values = [one.value for one in parts if isinstance(one, ast.Constant)]
    is_number = (
        all(isinstance(one, kinds) for one in parts)
        and bool(values)
        and all(type(one) in (int, float) for one in values)
    )
    return [name for name in names if name.isupper()] if is_number else []


@pytest.mark.parametrize(
    ("line", "expected"),
    (
        ("WAIT_S = 1.0", ["WAIT_S"]),
        ("_MOST: Final = 32 * 2**20", ["_MOST"]),
        ("LONG_S = 2 * SHORT_S", ["LONG_S"]),
        ("FIRST_S, LAST_S = 1.0, 60.0", ["FIRST_S", "LAST_S"]),
        ("PLACES = (0.4, 1.2)", ["PLACES"]),
        ("name = 1", []),
        ("NAMES = ('a', 'b')", []),
        ("LATER: float", []),
        ("LIMIT, TAKEN = range(2)", []),
    ),
)
def test_numbers_are_found_however_they_are_written(line, expected):
    assert numbers(ast.parse(line).body[0]) == expected
