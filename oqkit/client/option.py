"""What the caller gives beside the function and its inputs: checked, and turned into what a job holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal

from oqkit.clock import user_at_host
from oqkit.errors import UsageError
from oqkit.limits import Limits
from oqkit.plain import plain
from oqkit.queue.bound import MAX_REASON, MAX_TAG_NAME, MAX_TAG_VALUE, MAX_TAGS
from oqkit.queue.dependency import Parent
from oqkit.queue.gate import NEVER
from oqkit.queue.job import Job
from oqkit.queue.limit import Limit, concurrency_of, rate_of
from oqkit.queue.policy import Backoff, Policy
from oqkit.queue.priority import priority_of
from oqkit.task.function import Options, seconds

Payload = Literal["auto", "inline", "reference"]

LATEST_S = NEVER  # the year 2200


def policy_of(options: Options, *, now: float) -> Policy:
    """Turn options into the rules that the state machine follows."""
    if options.at is not None and options.delay is not None:
        raise UsageError("give at= or delay=, not both")
    not_before = parse_time(options.at, what="at") if options.at is not None else 0.0
    if options.delay is not None:
        not_before = from_now(options.delay, now=now, what="delay")
    if options.expires_at is not None and options.ttl is not None:
        raise UsageError("give expires_at= or ttl=, not both")
    expires_at = parse_time(options.expires_at, what="expires_at") if options.expires_at is not None else None
    if options.ttl is not None:
        expires_at = from_now(options.ttl, now=now, what="ttl")
    reschedules = options.max_reschedules
    return Policy(
        retries=whole(options.retries, what="retries", low=0, high=1000),
        max_losses=whole(options.max_losses, what="max_losses", low=1, high=1000),
        backoff=_backoff(options.backoff),
        max_reschedules=None if reschedules is None else whole(reschedules, what="max_reschedules", low=0, high=10**6),
        not_before=not_before,
        expires_at=expires_at,
        keep_s=None if options.keep is None else seconds(options.keep, what="keep"),
    )


def options_digest(options: Options, *, parents: Sequence[Parent] = (), output_schema: str = "") -> str:
    """Digest options, however they were written: "5m" is 300 seconds, and the order of tags and of `parents` is none.

    Of a schema only what the job says of results counts, as text: what of the inputs has passed makes no other results.
    """
    named = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "schema"}
    for name in ("timeout", "delay", "ttl"):
        named[name] = named[name] and seconds(named[name], what=name)
    named["priority"] = priority_of(options.priority)
    named |= {"backoff": _backoff(options.backoff), "tags": sorted(tags_of(options.tags or {}).items())}
    depends = named.pop("depends_on"), named.pop("on_failure")  # which jobs of earlier versions do not have
    limits = [(name, named.pop(name)) for name in ("rate_limit", "max_concurrency", "max_pending", "on_full")]
    named |= {name: value for name, value in limits[:2] if value is not None}  # the others say nothing of the job
    if depends[0] is not None:
        named |= {"depends_on": sorted(parent.job for parent in parents), "on_failure": depends[1]}
    if (expires_at := named.pop("expires_at")) is not None:
        named["expires_at"] = parse_time(expires_at, what="expires_at")
    if (keep := named.pop("keep")) is not None:
        named["keep"] = seconds(keep, what="keep")
    if output_schema:
        named["output_schema"] = output_schema
    return hashlib.sha256(repr(named).encode()).hexdigest()[:32]


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags if they are a few names and values, all text and not too long, else raise `UsageError`."""
    if not isinstance(tags, Mapping):
        raise UsageError(f"tags={tags!r:.80} must be a dict, such as {{'team': 'risk'}}")
    if len(tags) > MAX_TAGS:
        raise UsageError(f"{len(tags)} tags: at most {MAX_TAGS} are allowed")
    for name, value in tags.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise UsageError(f"tag {name!r}: {value!r} must be text on both sides")
        if not 1 <= len(name) <= MAX_TAG_NAME or len(value) > MAX_TAG_VALUE or not (name + value).isprintable():
            raise UsageError(
                f"tag {name!r:.80}: {value!r:.80} cannot be stored: a name has 1 to {MAX_TAG_NAME} characters and a value at most "
                f"{MAX_TAG_VALUE}, all of them printable: no line breaks or tabs"
            )
    return {str(name): str(value) for name, value in tags.items()}  # of numpy, too


def inline_bytes_of(payload: Payload | int, *, limits: Limits) -> float:
    """Return how many bytes the inputs of a job may have that are in the job object itself, or raise `UsageError`."""
    sizes = {"auto": limits.payload.inline_value_bytes, "inline": math.inf, "reference": 0}
    payload = plain(payload)
    if isinstance(payload, str) and payload in sizes:
        return sizes[payload]
    if type(payload) is int and payload >= 0:
        return payload
    raise UsageError(
        f"payload={payload!r:.80} must be 'auto', 'inline', 'reference', or the number of bytes above which an input is a reference"
    )


def whole(value: Any, *, what: str, low: int, high: int) -> int:
    """Return `value` if it is a whole number in that range, else raise `UsageError`."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{what}={value!r} must be a whole number from {low} to {high:,}")
    return value


def parse_time(at: object, *, what: str) -> float:
    """Return a datetime or epoch seconds as epoch seconds, or raise `UsageError`."""
    at = plain(at)
    if isinstance(at, (int, float)) and not isinstance(at, bool) and 0 <= at <= LATEST_S:
        return float(at)
    if isinstance(at, datetime) and at.tzinfo is not None and at == at:  # noqa: PLR0124 - NaT is none
        return at.timestamp()
    raise UsageError(f"{what}={at!r} must be a datetime with a time zone, or epoch seconds before the year 2200")


def short_text(value: object, *, what: str) -> str:
    """Return `value` if it is text of 1 to 512 characters, else raise `UsageError`."""
    if not isinstance(value, str) or not value or len(value) > 512:  # noqa: PLR2004
        raise UsageError(f"{what}={value!r:.80} must be text of 1 to 512 characters")
    return value


def by_of(by: object) -> str:
    """Return who gives an order: `by` if it is said, else who runs this process."""
    return user_at_host()[:512] if by is None else short_text(by, what="by")


def options_in(job: Job) -> Options:
    """Return the options that a job was stored with: what `policy_of` made of them, read back."""
    policy = job.policy
    return Options(
        retries=policy.retries,
        timeout=job.timeout_s or 0,
        backoff=policy.backoff,
        priority=job.priority,
        max_reschedules=policy.max_reschedules,
        max_losses=policy.max_losses,
        at=utc(policy.not_before) if policy.not_before else None,
        ttl=None if policy.expires_at is None else round(policy.expires_at - job.created, 3),
        keep=policy.keep_s,
        tags=dict(job.tags),
        depends_on=[parent.job for parent in job.depends_on] or None,
        on_failure=job.on_failure.value if job.depends_on else None,
        schema=None if job.output_schema is None else {"output": dict(job.output_schema)},
        **_limits_in(job),
    )


def limits_of(given: Options, declared: Options, *, job_type: str, origin: str) -> tuple[Limit, ...]:
    """Return the limits of a job: what its submission says, and what its task type does.

    ``max_concurrency`` of a submission is about this job, that of ``@oq.task`` about all jobs of the type: both hold.
    """
    limits = []
    if (rate := given.over(declared).rate_limit) is not None:
        limits.append(rate_of(rate, job_type=job_type))
    for most, name in ((given.max_concurrency, f"job/{origin}"), (declared.max_concurrency, f"type/{job_type}")):
        if most is not None:
            limits.append(concurrency_of(most, name=name))
    return tuple(limits)


def _limits_in(job: Job) -> dict[str, Any]:
    """Return the options that `limits_of` read, of a stored job."""
    rate = next((limit for limit in job.limits if limit.per_s), None)
    own = "" if rate is None or rate.name == f"rate/{job.type}" else f" {rate.name.partition('/')[2]}"
    at_once = [limit.most for limit in job.limits if not limit.per_s]
    return {
        "rate_limit": None if rate is None else f"{rate}{own}",
        "max_concurrency": min(at_once, default=None),
    }


def utc(moment: float) -> datetime:
    """Return epoch seconds as a datetime of UTC."""
    return datetime.fromtimestamp(moment, UTC)


def reason_of(reason: object) -> str:
    """Return why an order is given, empty if that is not said, or raise `UsageError`: the one rule for all orders."""
    if reason is None:
        return ""
    if not isinstance(reason, str) or len(reason) > MAX_REASON:
        has = f", and this has {len(reason):,}" if isinstance(reason, str) else ""
        raise UsageError(f"reason={reason!r:.80} must be text of at most {MAX_REASON:,} characters{has}")
    return str(reason)


def _backoff(backoff: Backoff | float | str | None) -> Backoff:
    if backoff is None:
        return Backoff()
    if not isinstance(backoff, Backoff):
        return Backoff(initial_s=seconds(backoff, what="backoff"))
    backoff = replace(backoff, **{field.name: plain(getattr(backoff, field.name)) for field in fields(backoff)})
    if not all(0 <= number < math.inf for number in astuple(backoff)):
        raise UsageError(f"backoff={backoff!r}: every number must be 0 or more, and finite")
    return backoff


def from_now(value: float | str, *, now: float, what: str) -> float:
    """Return the moment so long from now (epoch seconds), or raise `UsageError`."""
    moment_s = now + seconds(value, what=what)
    if moment_s > LATEST_S:
        raise UsageError(f"{what}={value!r} ends after the year 2200; leave it out if you mean for ever")
    return moment_s
