"""What the objects of jobs and parts hold: typed, bounded, and nothing that can be derived from it.

Every document has a `format`, and names in `requires` the features without which it must not be touched. A reader
that does not know one of them leaves the document alone: it neither runs nor rewrites nor hides it. Other fields
that a newer oqkit added are kept, and written again as they were. What is written here is read back before it
goes out, so that nobody ever stores what nobody can read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from oqkit.errors import FormatError, UsageError
from oqkit.queue import record
from oqkit.queue.bound import (
    MAX_PARENTS,
    MAX_PART_ROWS,
    MAX_PARTS,
    CommitId,
    Count,
    Generation,
    Id,
    LayoutNumber,
    Moment,
    Name,
    OutputId,
    Priority,
    Span,
    Text,
    Type,
    Unknown,
)
from oqkit.queue.dependency import OnFailure, Parent
from oqkit.queue.feature import FEATURES
from oqkit.queue.job import Code, Control, Job, Slot
from oqkit.queue.limit import MAX_LIMITS, Limit
from oqkit.queue.part import Lease, Part
from oqkit.queue.part_log import Event
from oqkit.queue.policy import Policy
from oqkit.queue.rows import Rows, covers_once
from oqkit.queue.signature import Keyring, Signature
from oqkit.queue.task_state import TaskState, grouped
from oqkit.queue.template import covered
from oqkit.queue.transition import Status

T = TypeVar("T")

FORMAT = 1
MAX_BYTES = 64 * 2**20

# --- any document --------------------------------------------------------------------------------


def dump(document: Mapping[str, object]) -> bytes:
    """Write a document as one line a field, so that a person can read it and a diff shows what changed."""
    lines = b",\n".join(b" %b: %b" % (record.encode(name), record.encode(value)) for name, value in document.items())
    return b"{\n%b\n}\n" % lines


def load(data: bytes, *, what: str) -> dict[str, object]:
    """Read a document that this oqkit knows all of that it must, or raise `FormatError` naming `what`."""
    if len(data) > MAX_BYTES:
        raise FormatError(f"{what} is {len(data):,} bytes; this oqkit reads at most {MAX_BYTES:,}")
    try:
        document = record.parse(data)
        known, required = document["format"], document.get("requires", [])
    except _REFUSALS as error:
        raise FormatError(f"{what} does not parse: {error!r:.200}") from None
    if type(known) is not int or known != FORMAT:
        raise FormatError(f"{what} is of format {known!r:.20}, this oqkit reads format {FORMAT}: upgrade oqkit here")
    _check_required(required, what=what)
    return dict(document)


def _check_required(required: object, *, what: str) -> None:
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise FormatError(f"{what} does not parse: requires={required!r:.80} is no list of names")
    if strange := [name for name in required if name not in FEATURES]:
        names = ", ".join(map(repr, strange))
        raise FormatError(f"{what} was written by a newer oqkit, which knows {names:.200}: upgrade oqkit here")


def load_as(cls: type[T], data: bytes, *, what: str) -> T:
    """Read a document whose fields are those of a dataclass, or raise `FormatError`.

    What it does not know is left out: this is for documents that nobody rewrites from what was read.
    """
    doc, names = load(data, what=what), get_type_hints(cls)
    return parsed(lambda: record.read(cls, {name: doc[name] for name in names if name in doc}), what=what)


def parsed(build: Callable[[], T], *, what: str) -> T:
    """Return what `build` makes of a document, or raise `FormatError` naming `what`."""
    try:
        return build()
    except _REFUSALS as error:
        raise FormatError(f"{what} does not parse: {error!s:.400}") from None


def checked(data: bytes, build: Callable[[dict[str, object]], object], *, what: str) -> bytes:
    """Return what is to be written if it can be read again, else raise `UsageError`."""
    if len(data) > MAX_BYTES:
        raise UsageError(
            f"{what} would take {len(data):,} bytes, and nobody reads more than {MAX_BYTES:,}: "
            "shorten its tags, reasons, input or results"
        )
    try:
        build(record.parse(data))
    except _REFUSALS as error:
        raise UsageError(f"{what} cannot be stored: {error!s:.400}") from None
    return data


_REFUSALS = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes out of reading what has other types or values than it should."""


# --- jobs ----------------------------------------------------------------------------------------


class _Job(msgspec.Struct, kw_only=True):
    """The fields of a job object."""

    format: int
    requires: tuple[Id, ...] = ()
    job: Id
    type: Type
    name: Name
    n_tasks: Count
    part_rows: Annotated[int, Meta(ge=1, le=MAX_PART_ROWS)]
    created: Moment
    origin: Id
    mode: Id
    content_digest: Name = ""
    options_digest: Name = ""
    code: Code
    policy: Policy
    priority: Priority
    timeout_s: Span | None
    tags: dict[Name, Text]
    controls: tuple[Control, ...]
    depends_on: Annotated[tuple[Parent, ...], Meta(max_length=MAX_PARENTS)] = ()
    on_failure: OnFailure = OnFailure.FAIL
    limits: Annotated[tuple[Limit, ...], Meta(max_length=MAX_LIMITS)] = ()
    layout: LayoutNumber = 0
    parent: Id = ""
    root: Id = ""
    rev: Count
    op: Id
    input: dict[str, Any]
    code_rev: Count = 0
    valid_until: Moment | None = None
    signature: Signature | None = None
    key_until: Moment | None = None
    slot: Slot | None = None
    deleted: Moment | None = None
    outcome: Annotated[tuple[Status, ...], Meta(max_length=len(Status))] | None = None
    deleted_by: Name = ""
    output_schema: dict[str, Any] | None = None
    unknown: Unknown = ()


_SIGNED = (
    *("format", "requires", "job", "type", "n_tasks", "part_rows", "created", "valid_until"),
    *("mode", "code", "code_rev", "policy", "timeout_s", "input"),
)
"""What decides what a job runs, and on what: of a signed job these are taken from the signed text alone."""
SIGNED_IF_THERE = "output_schema"
"""The same of what most jobs do not have, and signed texts of older versions neither."""
_SAME_IN_JOB = tuple(name for name in _Job.__struct_fields__ if name not in {"format", "job"})


def dump_job(job: Job) -> bytes:
    """Write the job object, or raise `UsageError` if nobody could read it."""
    data = dump(record.with_unknown(_job_fields(job), job.unknown))
    return checked(data, _job, what=f"job {job.name or job.id!r}")


def signed_text(job: Job, **more: object) -> str:
    """Return what there is to sign of a job, and `more` of a template: see `oqkit.queue.template`."""
    fields = {"code_rev": 0, "valid_until": None, **_job_fields(job)}
    return record.encode({**{name: fields[name] for name in _signed_in(fields)}, **more}).decode()


def _signed_in(fields: Mapping[str, object]) -> tuple[str, ...]:
    return (*_SIGNED, SIGNED_IF_THERE) if SIGNED_IF_THERE in fields else _SIGNED


def _job_fields(job: Job) -> dict[str, object]:
    plain = ("code_rev", "valid_until", "key_until", "deleted_by", "layout")
    optional = {
        **{name: getattr(job, name) for name in plain},
        "limits": [record.write(limit) for limit in job.limits],
    }
    return {
        "format": FORMAT,
        "requires": job.requires,
        "job": job.id,
        "type": job.type,
        "name": job.name,
        "n_tasks": job.n_tasks,
        "part_rows": job.part_rows,
        "created": job.created,
        "origin": job.origin,
        "mode": job.mode,
        "content_digest": job.content_digest,
        "options_digest": job.options_digest,
        "code": record.write(job.code),
        "policy": record.write(job.policy),
        "priority": job.priority,
        "timeout_s": job.timeout_s,
        "tags": dict(job.tags),
        "controls": [record.write(control) for control in job.controls],
        **_pipeline(job),
        "rev": job.rev,
        "op": job.op,
        "input": record.free(dict(job.input)),
        **{name: value for name, value in optional.items() if value},
        **({} if job.signature is None else {"signature": record.write(job.signature)}),
        **({} if job.slot is None else {"slot": record.write(job.slot)}),
        **({} if job.deleted is None else {"deleted": job.deleted}),
        **({} if job.outcome is None else {"outcome": job.outcome}),
        **({} if job.output_schema is None else {"output_schema": record.free(dict(job.output_schema))}),
    }


def _pipeline(job: Job) -> dict[str, object]:
    """Return what a job says of the jobs before it; nothing for most."""
    depends_on = [record.write(parent) for parent in job.depends_on]
    stated = {"depends_on": depends_on, "on_failure": job.on_failure if depends_on else ""}
    return {name: value for name, value in {**stated, "parent": job.parent, "root": job.root}.items() if value}


def load_job(data: bytes, *, key: str, keyring: Keyring | None = None) -> Job:
    """Read a job object, or raise `FormatError`; with a keyring also `NotSigned`, before anything signed is read.

    A tombstone has no signature: whoever may write job objects can make any job disappear.
    """
    what = f"job object {key!r}"
    doc = load(data, what=what)
    if keyring is not None and doc.get("deleted") is None:
        keyring.verify(parsed(lambda: _signature(doc), what=what), what=what)
    return parsed(lambda: _job(doc), what=what)


def _signature(doc: dict[str, object]) -> Signature | None:
    found = doc.get("signature")
    return None if found is None else record.read(Signature, found)


def _job(doc: dict[str, object]) -> Job:
    signature = _signature(doc)
    if signature is not None:
        signed = record.parse(signature.text.encode())
        _check_required(signed["requires"], what="its signed text")
        added = [name for name in record.read(tuple[Id, ...], doc["requires"]) if name not in signed["requires"]]
        facts = covered(signed, doc, _signed_in(signed))
        doc = {**doc, SIGNED_IF_THERE: None, **facts, "requires": [*signed["requires"], *added]}
    if not {"content_digest", "options_digest"} <= doc.keys() and "fingerprint" not in doc:  # which 0.1 had
        raise ValueError("its digests of content and options are missing")
    found = record.read(_Job, doc)
    job = Job(id=found.job, **{name: getattr(found, name) for name in _SAME_IN_JOB})
    if job.n_parts > MAX_PARTS:
        raise ValueError(f"{job.n_tasks} tasks in parts of {job.part_rows} are more than {MAX_PARTS:,} parts")
    return job


# --- parts ---------------------------------------------------------------------------------------


class _Part(msgspec.Struct, kw_only=True):
    """The fields of a part object."""

    format: int
    requires: tuple[Id, ...] = ()
    job: Id
    part: Annotated[int, Meta(ge=0, lt=MAX_PARTS)]
    n_rows: Annotated[int, Meta(ge=0, le=MAX_PART_ROWS)]
    counts: Any = None
    """For people; it follows from the states."""
    gen: Generation
    rev: Count
    op: Id
    at: Moment
    states: list[list[Any]] | None = None
    runs: list[list[Any]] | None = None
    """What 0.1 wrote in place of the states: neighbours in one state together."""
    leases: Annotated[tuple[Lease, ...], Meta(max_length=1_000)]
    outputs: list[tuple[OutputId, Any]]
    done: Annotated[tuple[CommitId, ...], Meta(max_length=1_000)]
    log: Annotated[tuple[Event, ...], Meta(max_length=1_000)]
    unknown: Unknown = ()


_SAME_IN_PART = ("job", "n_rows", "gen", "rev", "op", "at", "leases", "done", "log", "requires", "unknown")


def dump_part(part: Part) -> bytes:
    """Write the part object; tasks in one state are ``[status, rows, {what differs from a fresh task}]``.

    Raise `UsageError` if nobody could read it.
    """
    numbers = {name: number for number, name in enumerate(part.outputs)}
    states = sorted(part.states.items(), key=lambda entry: entry[1].first)
    doc = {
        "format": FORMAT,
        "requires": part.requires,
        "job": part.job,
        "part": part.index,
        "n_rows": part.n_rows,
        "counts": {status: n for status, n in part.counts().items() if n},
        "gen": part.gen,
        "rev": part.rev,
        "op": part.op,
        "at": part.at,
        "states": [_dump_state(state, rows, numbers) for state, rows in states],
        "leases": [record.write(lease) for lease in part.leases],
        "outputs": [[name, None if value is None else record.free(value)] for name, value in part.outputs.items()],
        "done": part.done,
        "log": [record.write(event) for event in part.log],
    }
    data = dump(record.with_unknown(doc, part.unknown))
    return checked(data, _part, what=f"part {part.index} of job {part.job}")


def load_part(data: bytes, *, key: str) -> Part:
    """Read a part object, or raise `FormatError`."""
    what = f"part object {key!r}"
    doc = load(data, what=what)
    return parsed(lambda: _part(doc), what=what)


def _part(doc: dict[str, object]) -> Part:
    found = record.read(_Part, doc)
    states = _states(found)
    part = Part(
        index=found.part,
        states=grouped(states),
        outputs=dict(found.outputs),
        **{name: getattr(found, name) for name in _SAME_IN_PART},
    )
    if not covers_once((rows for _, rows in states), part.n_rows):
        raise ValueError(f"its states do not cover its {part.n_rows} rows once")
    holders = {lease.id for lease in part.leases}
    if any((state.lease in holders) != (state.status is Status.RUNNING) for state in part.states):
        raise ValueError("its leases do not fit its running rows")
    if any(state.spared + (state.status is Status.RUNNING) > state.attempt for state in part.states):
        raise ValueError("more attempts of a row are spared than there were")
    return part


def _dump_state(state: TaskState, rows: Rows, numbers: Mapping[str, int]) -> list[object]:
    extra = record.write(state)
    status = extra.pop("status", Status.PENDING)
    if state.output:
        extra["output"] = numbers[state.output]
    return [status, rows.to_json(), *([extra] if extra else [])]


def _states(doc: _Part) -> list[tuple[TaskState, Rows]]:
    """Return the states of a part and their rows, as often as they are written."""
    entries = list(_entries(doc))
    outputs = [name for name, _ in doc.outputs]
    states = record.read_all(TaskState, [_fields(status, extra, outputs) for status, _, extra in entries])
    return list(zip(states, (Rows.from_json(rows) for _, rows, _ in entries), strict=True))


def _entries(doc: _Part) -> Iterator[tuple[object, object, list[object]]]:
    if doc.states is not None:
        for status, rows, *extra in doc.states:
            yield status, rows, extra
        return
    end = 0
    for status, first, stop, *extra in doc.runs or ():
        if first != end:
            raise ValueError(f"its runs do not follow each other: {first!r:.20} comes after {end!r:.20}")
        yield status, [[first, stop]], extra
        end = stop


def _fields(status: object, extra: list[Any], outputs: list[str]) -> dict[str, object]:
    if not extra:
        return {"status": status}
    (fields,) = extra
    if "output" not in fields:
        return {**fields, "status": status}
    number = fields["output"]
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r:.20} is not the number of an output")
    return {**fields, "status": status, "output": outputs[number]}
