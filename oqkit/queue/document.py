"""The JSON of jobs and parts: what is stored, and nothing that can be derived from it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from oqkit.errors import FormatError
from oqkit.queue.job import Code, Control, ControlVerb, Job
from oqkit.queue.part import Backoff, Event, Lease, Part, Policy, output_id
from oqkit.queue.rows import MAX_ROW, Rows, union
from oqkit.queue.task_state import TaskState, grouped
from oqkit.queue.transition import Status, Verb

T = TypeVar("T")

FORMAT = 1
MAX_BYTES = 64 * 2**20
MAX_PRIORITY = 255


def dump(document: Mapping[str, Any]) -> bytes:
    """Write a document as one line a field, so that a person can read it and a diff shows what changed."""
    lines = ",\n".join(f" {json.dumps(name)}: {_compact(value)}" for name, value in document.items())
    # a lone surrogate (file names have them) becomes what happens to be JSON's own escape for it
    return f"{{\n{lines}\n}}\n".encode(errors="backslashreplace")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def load(data: bytes, *, what: str) -> dict[str, Any]:
    """Read a document, or raise `FormatError` naming `what`."""
    if len(data) > MAX_BYTES:
        raise FormatError(f"{what} is {len(data)} bytes; this oqkit reads at most {MAX_BYTES}")
    try:
        document = json.loads(data, parse_float=_finite, parse_constant=_finite)
        known = document["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{what} does not parse: {error}") from None
    if known != FORMAT or not isinstance(known, int):
        raise FormatError(f"{what} is of format {known!r}, this oqkit reads format {FORMAT}: upgrade oqkit here")
    return dict(document)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of JSON")
    return number


def _parsed(build: Callable[[], T], *, what: str) -> T:
    try:
        return build()
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise FormatError(f"{what} does not parse: {type(error).__name__}: {error}") from None


def _int(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _float(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _str,
    "int | None": lambda value: None if value is None else _int(value),
    "float | None": lambda value: None if value is None else _float(value),
}


def _checked(cls: type, doc: Mapping[str, Any]) -> dict[str, Any]:
    """Return `doc` as arguments for the dataclass `cls`, or raise if a value is not of the type that it declares."""
    types = cls.__annotations__
    return {name: _CHECKS[types[name]](value) for name, value in doc.items()}


# --- jobs ----------------------------------------------------------------------------------------


def dump_job(job: Job) -> bytes:
    """Write the job object."""
    return dump(
        {
            "format": FORMAT,
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
            "code": _without_defaults(
                {"reference": job.code.reference, "digest": job.code.digest, "fingerprint": job.code.fingerprint}
            ),
            "policy": _dump_policy(job.policy),
            "priority": job.priority,
            "timeout_s": job.timeout_s,
            "tags": dict(job.tags),
            "controls": [_dump_control(control) for control in job.controls],
            "rev": job.rev,
            "op": job.op,
            "input": dict(job.input),
        }
    )


def load_job(data: bytes, *, key: str) -> Job:
    """Read a job object, or raise `FormatError`."""
    doc = load(data, what=f"job object {key!r}")
    return _parsed(lambda: _job(doc), what=f"job object {key!r}")


_JOB_FIELDS = (
    *("type", "n_tasks", "part_rows", "created", "origin", "mode"),
    *("name", "timeout_s", "rev", "op"),
)

_DIGESTS = ("content_digest", "options_digest")


def _job(doc: Mapping[str, Any]) -> Job:
    job = Job(
        id=_str(doc["job"]),
        **_checked(Job, {name: doc[name] for name in _JOB_FIELDS}),
        **_checked(Job, {name: doc[name] for name in _DIGESTS if "fingerprint" not in doc}),  # oqkit 0.1 had that one
        code=Code(**_checked(Code, doc["code"])),
        policy=_policy(doc["policy"]),
        priority=_int(doc["priority"]),
        tags={_str(name): _str(value) for name, value in doc["tags"].items()},
        input=dict(doc["input"].items()),
        controls=tuple(_control(entry) for entry in doc["controls"]),
    )
    if not 0 <= job.n_tasks <= MAX_ROW or not 1 <= job.part_rows <= MAX_ROW or not 0 <= job.priority <= MAX_PRIORITY:
        raise ValueError(f"n_tasks={job.n_tasks}, part_rows={job.part_rows}, priority={job.priority} cannot be")
    return job


def _dump_policy(policy: Policy) -> dict[str, Any]:
    backoff = policy.backoff
    return {
        "retries": policy.retries,
        "max_losses": policy.max_losses,
        "backoff": {
            "initial_s": backoff.initial_s,
            "factor": backoff.factor,
            "max_s": backoff.max_s,
            "jitter": backoff.jitter,
        },
        "max_reschedules": policy.max_reschedules,
        "not_before": policy.not_before,
        "expires_at": policy.expires_at,
    }


def _policy(doc: Mapping[str, Any]) -> Policy:
    simple = {name: value for name, value in doc.items() if name != "backoff"}
    return Policy(**_checked(Policy, simple), backoff=Backoff(**_checked(Backoff, doc["backoff"])))


def _dump_control(control: Control) -> dict[str, Any]:
    return {
        "op": control.op,
        "verb": control.verb,
        "at": control.at,
        "statuses": list(control.statuses),
        "rows": None if control.rows is None else control.rows.to_json(),
        "reason": control.reason,
        **({} if control.until is None else {"until": control.until}),
    }


def _control(doc: Mapping[str, Any]) -> Control:
    return Control(
        op=_str(doc["op"]),
        verb=ControlVerb(doc["verb"]),
        at=_float(doc["at"]),
        statuses=tuple(Status(status) for status in doc["statuses"]),
        rows=None if doc["rows"] is None else Rows.from_json(doc["rows"]),
        reason=_str(doc["reason"]),
        until=None if doc.get("until") is None else _float(doc["until"]),
    )


# --- parts ---------------------------------------------------------------------------------------

_STATE_FIELDS = ("attempt", "spared", "lost", "deaths", "reschedules", "due", "is_reopened", "lease")


def dump_part(part: Part) -> bytes:
    """Write the part object; tasks in one state are ``[status, rows, {what differs from a fresh task}]``."""
    outputs = list(part.outputs)
    numbers = {name: number for number, name in enumerate(outputs)}
    return dump(
        {
            "format": FORMAT,
            "job": part.job,
            "part": part.index,
            "n_rows": part.n_rows,
            "counts": {status: n for status, n in part.counts().items() if n},
            "gen": part.gen,
            "rev": part.rev,
            "op": part.op,
            "at": part.at,
            "states": [
                _dump_state(state, rows, numbers)
                for state, rows in sorted(part.states.items(), key=lambda entry: entry[1].first)
            ],
            "leases": [
                {
                    "id": one.id,
                    "worker": one.worker,
                    "expires": one.expires,
                    "commits": one.commits,
                    **_without_defaults({"is_alone": one.is_alone}),
                }
                for one in part.leases
            ],
            "outputs": [[name, part.outputs[name]] for name in outputs],
            "done": list(part.done),
            "log": [_dump_event(event) for event in part.log],
        }
    )


def load_part(data: bytes, *, key: str) -> Part:
    """Read a part object, or raise `FormatError`."""
    doc = load(data, what=f"part object {key!r}")
    part = _parsed(lambda: _part(doc), what=f"part object {key!r}")
    covered = union(part.states.values())
    if covered != Rows.span(0, part.n_rows) or sum(map(len, part.states.values())) != part.n_rows:
        raise FormatError(f"part object {key!r} does not parse: its states do not cover its {part.n_rows} rows once")
    holders = {lease.id for lease in part.leases}
    if any((state.lease in holders) != (state.status is Status.RUNNING) for state in part.states):
        raise FormatError(f"part object {key!r} does not parse: its leases do not fit its running rows")
    return part


def _part(doc: Mapping[str, Any]) -> Part:
    names = [_str(name) for name, _ in doc["outputs"]]
    found = list(_states(doc, names))
    states = grouped(found)
    if sum(len(rows) for _, rows in found) != sum(map(len, states.values())):
        raise ValueError("a row is in two states")
    return Part(
        job=_str(doc["job"]),
        index=_int(doc["part"]),
        n_rows=_int(doc["n_rows"]),
        states=states,
        gen=_int(doc["gen"]),
        rev=_int(doc["rev"]),
        op=_str(doc["op"]),
        at=_float(doc["at"]),
        leases=tuple(Lease(**_checked(Lease, entry)) for entry in doc["leases"]),
        outputs=dict(doc["outputs"]),
        done=tuple(_commit(last) for last in doc["done"]),
        log=tuple(_event(entry) for entry in doc["log"]),
    )


def _dump_state(state: TaskState, rows: Rows, numbers: Mapping[str, int]) -> list[Any]:
    extra = _without_defaults({name: getattr(state, name) for name in _STATE_FIELDS})
    if state.output:
        extra["output"] = numbers[state.output]
    return [state.status, rows.to_json(), *([extra] if extra else [])]


def _states(doc: Mapping[str, Any], names: list[str]) -> Iterator[tuple[TaskState, Rows]]:
    if "states" in doc:
        for status, rows, *extra in doc["states"]:
            yield _state(status, extra, names), Rows.from_json(rows)
        return
    end = 0
    for status, first, stop, *extra in doc["runs"]:  # as 0.1 wrote it: neighbours in one state together
        if first != end:
            raise ValueError(f"its runs do not follow each other: {first!r} comes after {end!r}")
        yield _state(status, extra, names), Rows.from_json([[first, stop]])
        end = stop


def _state(status: Any, extra: list[Any], names: list[str]) -> TaskState:
    fields = dict(extra[0]) if extra else {}
    output = fields.pop("output", None)
    return TaskState(
        status=Status(status), output="" if output is None else names[_index(output)], **_checked(TaskState, fields)
    )


def _commit(value: Any) -> str:
    lease, _, number = _str(value).rpartition(".")
    return output_id(lease, int(number))


def _index(value: Any) -> int:
    if _int(value) < 0:
        raise IndexError(f"{value} is not the number of an output")
    return _int(value)


def _dump_event(event: Event) -> dict[str, Any]:
    extra = _without_defaults({"worker": event.worker, "note": event.note, "took_s": event.took_s})
    return {"at": event.at, "verb": event.verb, "rows": event.rows.to_json(), "n_rows": event.n_rows, **extra}


def _event(doc: Mapping[str, Any]) -> Event:
    simple = {name: value for name, value in doc.items() if name not in {"verb", "rows"}}
    return Event(**_checked(Event, simple), verb=Verb(doc["verb"]), rows=Rows.from_json(doc["rows"]))


def _without_defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
