"""The JSON of jobs and parts: what is stored, and nothing that can be derived from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from oqkit.errors import FormatError
from oqkit.queue.job import Code, Control, ControlVerb, Job
from oqkit.queue.part import Backoff, Event, Lease, Part, Policy
from oqkit.queue.run import Run
from oqkit.queue.transition import Status, Verb

T = TypeVar("T")

FORMAT = 1
MAX_BYTES = 64 * 2**20


def dump(document: Mapping[str, Any]) -> bytes:
    """Write a document as one line a field, so that a person can read it and a diff shows what changed."""
    lines = ",\n".join(f" {json.dumps(name)}: {_compact(value)}" for name, value in document.items())
    return f"{{\n{lines}\n}}\n".encode()


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def load(data: bytes, *, what: str) -> dict[str, Any]:
    """Read a document, or raise `FormatError` naming `what`."""
    if len(data) > MAX_BYTES:
        raise FormatError(f"{what} is {len(data)} bytes; this oqkit reads at most {MAX_BYTES}")
    try:
        document = json.loads(data)
        known = document["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(f"{what} does not parse: {error}") from None
    if known != FORMAT:
        raise FormatError(f"{what} is of format {known!r}, this oqkit reads format {FORMAT}: upgrade oqkit here")
    return dict(document)


def _parsed(build: Callable[[], T], *, what: str) -> T:
    try:
        return build()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FormatError(f"{what} does not parse: {type(error).__name__}: {error}") from None


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
            "fingerprint": job.fingerprint,
            "code": _without_defaults({"reference": job.code.reference, "digest": job.code.digest}),
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


def _job(doc: Mapping[str, Any]) -> Job:
    return Job(
        id=doc["job"],
        type=doc["type"],
        name=doc["name"],
        n_tasks=int(doc["n_tasks"]),
        part_rows=max(1, int(doc["part_rows"])),
        created=float(doc["created"]),
        origin=doc["origin"],
        mode=doc["mode"],
        fingerprint=doc["fingerprint"],
        code=Code(**doc["code"]),
        policy=_policy(doc["policy"]),
        priority=int(doc["priority"]),
        timeout_s=doc["timeout_s"],
        tags=doc["tags"],
        input=doc["input"],
        controls=tuple(_control(entry) for entry in doc["controls"]),
        rev=int(doc["rev"]),
        op=doc["op"],
    )


def _dump_policy(policy: Policy) -> dict[str, Any]:
    backoff = policy.backoff
    return {
        "retries": policy.retries,
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
    return Policy(**{**doc, "backoff": Backoff(**doc["backoff"])})


def _dump_control(control: Control) -> dict[str, Any]:
    return {
        "op": control.op,
        "verb": control.verb,
        "at": control.at,
        "statuses": list(control.statuses),
        "rows": control.rows,
        "reason": control.reason,
    }


def _control(doc: Mapping[str, Any]) -> Control:
    return Control(
        op=doc["op"],
        verb=ControlVerb(doc["verb"]),
        at=float(doc["at"]),
        statuses=tuple(Status(status) for status in doc["statuses"]),
        rows=None if doc["rows"] is None else _ranges(doc["rows"]),
        reason=doc["reason"],
    )


# --- parts ---------------------------------------------------------------------------------------

_RUN_FIELDS = ("attempt", "spared", "lost", "reschedules", "due", "lease")


def dump_part(part: Part) -> bytes:
    """Write the part object; a run is ``[status, first, stop, {what differs from a fresh task}]``."""
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
            "runs": [_dump_run(run, numbers) for run in part.runs],
            "leases": [
                {"id": one.id, "worker": one.worker, "expires": one.expires, "commits": one.commits}
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
    borders = [(run.first, run.stop) for run in part.runs]
    starts = [0, *(stop for _, stop in borders)]
    if [first for first, _ in borders] != starts[:-1] or starts[-1] != part.n_rows:
        raise FormatError(f"part object {key!r} does not parse: its runs do not cover its {part.n_rows} rows")
    return part


def _part(doc: Mapping[str, Any]) -> Part:
    names = [name for name, _ in doc["outputs"]]
    return Part(
        job=doc["job"],
        index=int(doc["part"]),
        n_rows=int(doc["n_rows"]),
        runs=tuple(_run(entry, names) for entry in doc["runs"]),
        gen=int(doc["gen"]),
        rev=int(doc["rev"]),
        op=doc["op"],
        at=float(doc["at"]),
        leases=tuple(Lease(**entry) for entry in doc["leases"]),
        outputs=dict(doc["outputs"]),
        done=tuple(doc["done"]),
        log=tuple(_event(entry) for entry in doc["log"]),
    )


def _dump_run(run: Run, numbers: Mapping[str, int]) -> list[Any]:
    extra = _without_defaults({name: getattr(run, name) for name in _RUN_FIELDS})
    if run.output:
        extra["output"] = numbers[run.output]
    return [run.status, run.first, run.stop, *([extra] if extra else [])]


def _run(entry: list[Any], names: list[str]) -> Run:
    status, first, stop, *extra = entry
    fields = dict(extra[0]) if extra else {}
    if "output" in fields:
        fields["output"] = names[fields["output"]]
    return Run(first=first, stop=stop, status=Status(status), **fields)


def _dump_event(event: Event) -> dict[str, Any]:
    extra = _without_defaults({"worker": event.worker, "note": event.note})
    return {"at": event.at, "verb": event.verb, "rows": event.rows, "n_rows": event.n_rows, **extra}


def _event(doc: Mapping[str, Any]) -> Event:
    return Event(**{**doc, "verb": Verb(doc["verb"]), "rows": _ranges(doc["rows"])})


def _ranges(doc: Any) -> tuple[tuple[int, int], ...]:
    return tuple((int(first), int(stop)) for first, stop in doc)


def _without_defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}
