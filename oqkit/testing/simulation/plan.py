"""What happens in one schedule: all of it follows from the seed, and each piece has a name and can be left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from oqkit.limits import Limits
from oqkit.testing.simulation.bucket import FAULTS, Weather

T = TypeVar("T")

OK, RAISE, PERMANENT, RESCHEDULE, SKIP, SLOW = "ok", "raise", "permanent", "reschedule", "skip", "slow"
CRASH, KILL, PERISH = "crash", "kill", "perish"
"""A crash ends a child process, and is an exception where there is none. The others end the process, whichever it is:
a kill as if from outside, as when memory runs out, and by perishing it is known that it did so by itself."""
TYPES = ("alpha", "beta", "batch")
"""The last one takes frames."""

TRICKS = (
    "stale marker",
    "old marker",
    "later marker",
    "no marker",
    "lost marker",
    "lost marker",
    "no bell",
    "strange marker",
    "crowd",
    "unreadable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """How a life ends: at its n-th write, before or after that is applied; or at some time; or asked to stop."""

    name: str
    write: int | None = None
    is_after: bool = False
    after_s: float = 0.0
    is_stop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A process that stands still for a while."""

    name: str
    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """A machine with a worker that is started again whenever it died."""

    name: str
    types: tuple[str, ...]
    concurrency: int
    is_process: bool
    isolates_after: int
    grace_s: float
    skew_s: float
    drift: float
    kills: tuple[Kill, ...]
    pauses: tuple[Pause, ...]
    deaf_at_s: float | None = None
    """From when on the store never answers it; None: it always does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A submission; one with a key is repeated until it is known to be stored."""

    name: str
    number: int
    at_s: float
    kind: str
    """``single``, ``map`` or ``frame``."""
    key: str
    type: str
    n_tasks: int
    part_rows: int
    row_s: float
    options: dict[str, Any]
    fates: dict[int, tuple[str, ...]]
    """Row to what its executions do, one after the other; ``ok`` from then on."""
    n_submitters: int
    kills: tuple[Kill, ...]
    scope: str = "type"
    key_ttl: float | None = None
    again_s: tuple[float, ...] = ()
    """When others submit it once more, with its key; only of a ``single``."""
    depends_on: tuple[int, ...] = ()
    """The numbers of jobs that it waits for, as far as those are known to be stored when it is first submitted."""
    waits: bool = False
    """Whether each of its calls waits for a signal first."""
    asks: Mapping[int, float] = field(default_factory=dict)
    """Row to how much time its calls ask for, each time."""
    is_half: bool = False
    """Whether its first submitter dies when the doorbell has rung, and the marker is not there yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPlan:
    """A cancel, retry, pause or resume that a person gives, another priority or a tag; half of those who die over it come back."""

    name: str
    at_s: float
    job: int
    verb: str
    kills: tuple[Kill, ...]
    where: Any = "all"
    """What a cancel or retry is about; the priority, or the tag's value."""
    for_s: float | None = None
    """How long a pause lasts; None: until somebody ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignPlan:
    """A pause or resume of the whole queue, or of a task type, that a person gives."""

    name: str
    at_s: float
    type: str | None
    """None: the whole queue."""
    is_pause: bool
    for_s: float | None
    """How long a pause lasts; None: until somebody ends it."""
    kills: tuple[Kill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReshardPlan:
    """Another number of shards, given until that is known to be done."""

    name: str
    at_s: float
    shards: int
    kills: tuple[Kill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """A submission of items that are known by their number."""

    name: str
    at_s: float
    items: tuple[int, ...]
    kills: tuple[Kill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePlan:
    """Somebody who deletes a job as soon as it has ended, while others may still depend on it."""

    name: str
    at_s: float
    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPlan:
    """Somebody who looks at a job: its counts, what is finished, or all of it as it comes."""

    name: str
    at_s: float
    job: int
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """Something done to the bucket behind everybody's back."""

    name: str
    at_s: float
    what: str
    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePlan:
    """A schedule, made until that is known to be done."""

    name: str
    at_s: float
    every_s: float
    catch_up: str
    jitter_s: float
    kills: tuple[Kill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOrderPlan:
    """A pause of a schedule, its end, a trigger, or that it is deleted or made anew."""

    name: str
    at_s: float
    schedule: SchedulePlan
    verb: str
    kills: tuple[Kill, ...]
    for_s: float | None = None
    """How long a pause lasts; None: until somebody ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaPlan:
    """Somebody publishes or deletes the schema of a task type a few times, or submits by it."""

    name: str
    number: int
    """By which the first schema is known that is published; those after it have the next ones."""
    at_s: float
    verb: str
    """``publish``, ``delete``, ``submit`` or ``submit unfit``."""
    kills: tuple[Kill, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One schedule."""

    seed: int
    chaos_s: float
    lease_s: float
    poll_s: float
    limits: Limits
    """Those of the code; some are low in some schedules, so that what lies behind them is reached."""
    has_md5_etags: bool
    workers: tuple[WorkerPlan, ...]
    jobs: tuple[JobPlan, ...]
    orders: tuple[OrderPlan, ...]
    reads: tuple[ReadPlan, ...]
    tricks: tuple[Trick, ...]
    faults: dict[str, float]
    outages: tuple[tuple[str, float, float, str], ...]
    latency_s: float
    slow: float
    looks_again: bool = True
    """Whether workers look in time whether the parents of a job have ended, in case that nobody told it."""
    shards: int = 1
    shares: bool = False
    """Whether workers lease the shards that they list."""
    block: int = 16
    """How many parents of a job are looked at together."""
    signs: tuple[SignPlan, ...] = ()
    schedules: tuple[SchedulePlan, ...] = ()
    schedule_orders: tuple[ScheduleOrderPlan, ...] = ()
    calls: tuple[CallPlan, ...] = ()
    reshards: tuple[ReshardPlan, ...] = ()
    deletes: tuple[DeletePlan, ...] = ()
    schemas: tuple[SchemaPlan, ...] = ()
    dropped: frozenset[str] = field(default_factory=frozenset)

    def weather(self) -> Weather:
        """Return the network of this schedule."""
        return Weather(
            chances={fault: self.faults.get(fault, 0.0) for fault in FAULTS},
            read_error=self.faults.get("read", 0.0),
            latency_s=self.latency_s,
            slow=self.slow,
            outages=[(start, stop, who) for _, start, stop, who in self.outages],
        )

    def names(self) -> Iterator[str]:
        """Yield the name of everything that can be left out, from the large to the small."""
        people = (
            self.orders,
            self.signs,
            self.calls,
            self.reshards,
            self.reads,
            self.deletes,
            self.schemas,
            self.schedules,
            self.schedule_orders,
        )
        groups: tuple[tuple[Any, ...], ...] = (self.workers, self.jobs, *people, self.tricks)
        yield from (one.name for group in groups for one in group)
        yield from (f"fault.{fault}" for fault, chance in self.faults.items() if chance)
        yield from (name for name, *_ in self.outages)
        yield from (kill.name for group in groups for one in group for kill in getattr(one, "kills", ()))
        yield from (pause.name for worker in self.workers for pause in worker.pauses)
        yield from (f"{job.name}.fate{row}" for job in self.jobs for row in job.fates)
        yield from ("slow", "skew")

    def without(self, names: frozenset[str]) -> Plan:
        """Return the plan with some pieces left out."""

        def kept(group: tuple[T, ...]) -> tuple[T, ...]:
            return tuple(_trimmed(one, names) for one in group if one.name not in names)  # type: ignore[attr-defined]

        workers = kept(self.workers)
        if "skew" in names:
            workers = tuple(replace(worker, skew_s=0.0, drift=0.0) for worker in workers)
        return replace(
            self,
            workers=workers,
            jobs=kept(self.jobs),
            orders=kept(self.orders),
            signs=kept(self.signs),
            calls=kept(self.calls),
            reshards=kept(self.reshards),
            deletes=kept(self.deletes),
            schemas=kept(self.schemas),
            reads=kept(self.reads),
            tricks=kept(self.tricks),
            schedules=kept(self.schedules),
            schedule_orders=kept(self.schedule_orders),
            faults={fault: 0.0 if f"fault.{fault}" in names else chance for fault, chance in self.faults.items()},
            outages=tuple(outage for outage in self.outages if outage[0] not in names),
            slow=0.0 if "slow" in names else self.slow,
            dropped=self.dropped | names,
        )


def _trimmed(one: Any, names: frozenset[str]) -> Any:
    has = {it.name for it in fields(one)}
    if "kills" in has:
        one = replace(one, kills=tuple(kill for kill in one.kills if kill.name not in names))
    if "pauses" in has:
        one = replace(one, pauses=tuple(pause for pause in one.pauses if pause.name not in names))
    if "fates" in has:
        one = replace(one, fates={row: fate for row, fate in one.fates.items() if f"{one.name}.fate{row}" not in names})
    return one
