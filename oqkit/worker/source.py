"""Where the slots of a worker get their leases: claimed, loaded, and ready to run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from oqkit.claim.claimer import Claimer
from oqkit.claim.lease import HeldLease
from oqkit.claim.limiter import CallShape, Limiter
from oqkit.claim.shard_share import ShardShare
from oqkit.errors import FormatError, LeaseLost, Missing, NotSigned, OqError, StoreError, UsageError
from oqkit.observe.event import JobEnded, LeaseClaimed, LeaseEnded, StoreFailed
from oqkit.observe.observer import Observers
from oqkit.printable import printable
from oqkit.queue.commit import Commit
from oqkit.queue.eligibility import Hurdle, Refusal
from oqkit.queue.job import Code, Job
from oqkit.queue.repository import Repository
from oqkit.queue.sweep import Sweep
from oqkit.queue.transition import Verb
from oqkit.task.failure import MAX_MESSAGE, Failure, cut
from oqkit.task.handler import Handler
from oqkit.task.request import Spawn
from oqkit.task.timer import RowTimer
from oqkit.worker.buffer import Results
from oqkit.worker.call import Work
from oqkit.worker.checkpoint import Checkpointer
from oqkit.worker.executor import Executor
from oqkit.worker.interface import Codec, InputError, Inputs, Spawner, order_of
from oqkit.worker.registry import HandlerRegistry
from oqkit.worker.runner import LeaseRunner
from oqkit.worker.scheduler import Scheduler
from oqkit.worker.service import spawns_nothing
from oqkit.worker.solitude import Solitude
from oqkit.worker.thread import Threads
from oqkit.worker.trouble import Trouble

log = logging.getLogger(__name__)


class LeaseSource:
    """Leases for all slots of one worker, claimed one at a time."""

    def __init__(
        self,
        repository: Repository,
        codec: Codec,
        registry: HandlerRegistry,
        *,
        worker: str,
        lease_s: float,
        grace_s: float,
        isolates_after: int,
        threads: Threads,
        observers: Observers,
        concurrency: int,
        aging_s: float | None = None,
        shard_leases: bool = False,
    ) -> None:
        self.solitude = Solitude(threads)
        self.trouble = Trouble(threads, limits=repository.limits.worker)
        self._limits = repository.limits.worker
        self._threads = threads
        self._grace_s = grace_s
        self.stopping = threads.event()
        self.killing = threads.event()
        self.monotonic: Callable[[], float] = repository.store.clock.monotonic
        self._codec = codec
        self._registry = registry
        self._worker = worker
        self._isolates_after = isolates_after
        self._timer = RowTimer(repository.limits.task)
        self._observers = observers
        observers.on(LeaseEnded, self._learn)
        self.spawn: Spawner = spawns_nothing
        """Submits what running calls ask for."""
        self._most_coroutines = concurrency * self._limits.coroutines
        self._coroutines: dict[LeaseRunner, int] = {}
        """Leases of coroutines that were not ended, and how many of those run at once."""
        self.on_coroutines: Callable[[], None] = _nothing
        """Called when a lease of coroutines was claimed: there may be room for more."""
        self._lock = threads.lock()
        self._now = repository.now
        self._waits_s: dict[str, float] = {}
        """Jobs whose inputs could not be read, and how long each is left alone for that."""
        self._exposed: set[tuple[str, Code]] = set()
        """Functions that turned out not to run in a child process."""
        self.limiter = Limiter(repository, worker=worker, lease_s=lease_s, shape=self._shape, lock=threads.lock)
        """What was taken of limits: a duty too."""
        self._claimer = Claimer(
            repository,
            registry.topics(),
            worker=worker,
            lease_s=lease_s,
            can_run=registry.can_run,
            lease_rows=self._lease_rows,
            aging_s=aging_s,
            limiter=self.limiter,
            on_aside=self._note,
            on_ended=self._job_ended,
        )
        self.share = self._shared(repository) if shard_leases else None
        """The shards that it has leased, to list no others: a duty, too."""
        self.finished = self._claimer.finished
        """The markers of jobs that are done: a duty of the worker."""
        alarms, everybody = self._claimer.discovery.alarms, repository.verifying(None)
        self.sweep = Sweep(everybody, marked=lambda: self._claimer.discovery.marked, alarmed=alarms.known)
        """The search for lost jobs, another one: for everybody, so also for jobs that this worker would not run."""
        self.scheduler = Scheduler(
            everybody, alarms, worker=worker, observers=observers, is_stopping=self.stopping.is_set
        )
        """Firing schedules: one more, for everybody too."""

    def _shared(self, repository: Repository) -> ShardShare:
        """Return the share of shards of this worker, once it lists no others."""
        share = ShardShare(repository, worker=self._worker, ability=self._registry.ability)
        self._claimer.discovery.share_shards(share)
        return share

    @property
    def has_room(self) -> bool:
        """Whether coroutines run, but fewer than may run at once."""
        return 0 < sum(list(self._coroutines.values())) < self._most_coroutines

    def acquire(self, executor: Executor, *, only_coroutines: bool = False) -> LeaseRunner | None:
        """Claim a lease, to be run by `executor`; None if there is nothing to do now. What it raises is in `trouble`."""
        if not self.solitude.enter():
            return None
        lease, runner, began = None, None, self.monotonic()
        try:
            with self._lock:
                lease = self._claimer.find(only=self._is_async) if only_coroutines else self._claimer.find()
            if lease is not None:
                self._observers.tell(LeaseClaimed, partial(_claimed, lease))
                runner = self._prepared(lease, executor)
            self.trouble.works(since=began, has_work=runner is not None, answered=self._claimer.discovery.answered)
        except OqError as error:
            self.trouble.note(error, since=began, now=self.monotonic())
            self._fetch_failed(error, lease)
            raise
        finally:
            if runner is None:
                self.solitude.leave()
        if runner is not None and self._is_async(runner.lease.job):
            self._coroutines[runner] = min(self._limits.coroutines, len(runner.lease.rows))
            self.on_coroutines()
        return runner

    def ended(self, runner: LeaseRunner) -> None:
        """Take back a runner that has finished."""
        self.solitude.leave(runner)
        self._coroutines.pop(runner, None)
        if runner.is_exposed:
            self._exposed.add(_function(runner.lease.job))
        end = LeaseEnded.of(
            runner.lease,
            n_finished=runner.n_finished,
            run_s=runner.run_s,
            is_lost=runner.is_lost,
            is_suspect=runner.is_suspect,
        )
        self._over(end, runner.lease)

    def _over(self, end: LeaseEnded, lease: HeldLease) -> None:
        """Take in what became of a lease."""
        self._observers.tell(LeaseEnded, lambda: end)
        self.limiter.release(lease.ticket)
        with self._lock:
            try:
                if not end.is_lost:
                    self._claimer.ended(lease)
                    return
            except StoreError as error:  # the outcomes are committed: only what is next must be found out anew
                log.warning("job %s will be looked at again: %s", lease.job.id, error)
            self._claimer.lost(lease)

    def _learn(self, end: LeaseEnded) -> None:
        """Take in how long rows took; the start of a child process for suspects is none of the function's time."""
        if end.run_s is not None and not end.is_lost and not end.is_suspect:
            self._timer.learn(end.job, n_rows=end.n_finished, elapsed_s=end.run_s)

    def _job_ended(self, job: Job) -> None:
        self._observers.tell(JobEnded, lambda: JobEnded(at=self._now(), job=job, worker=self._worker))

    def _fetch_failed(self, error: OqError, lease: HeldLease | None) -> None:
        """Tell that no work could be fetched; a lease that was claimed meanwhile is left to run out."""
        if lease is not None:
            self.limiter.release(lease.ticket)
            self._observers.tell(LeaseEnded, lambda: LeaseEnded.of(lease, n_finished=0, is_lost=True))
        if isinstance(error, StoreError):
            self._observers.tell(StoreFailed, lambda: StoreFailed(at=self._now(), worker=self._worker, error=error))

    def put_aside(self, job_id: str, error: Exception) -> None:
        """Leave a job alone for a while with which something unforeseen went wrong."""
        with self._lock:
            self._claimer.put_aside(job_id, error)

    def _note(self, job_id: str, error: Exception) -> None:
        hurdle = Hurdle.SIGNATURE if isinstance(error, NotSigned) else Hurdle.UNREADABLE
        self._registry.note(job_id, Refusal(hurdle=hurdle, detail=printable(error)))

    def wait_s(self) -> float:
        """Return how long there will be nothing to do, in seconds."""
        with self._lock:
            return self._claimer.wait_s()

    def is_done(self) -> bool:
        """Whether, as far as is known, no open job has or will have anything for this worker."""
        with self._lock:
            return self._claimer.is_done() and self._claimer.discovery.has_looked_everywhere()

    def _lease_rows(self, job: Job) -> tuple[int, int | None]:
        """Return how few and how many rows are worth a lease; how many is None while it is unknown.

        Coroutines wait together, and a call of a batch function may take as long for a few rows as for many:
        of those, small leases would cost time rather than save it.
        """
        known, handler = self._timer.lease_rows(job), self._handler(job)
        at_once = self._limits.coroutines if handler.is_async else 1
        if known is None:
            return at_once, None
        least, most = known
        return max(at_once, most if handler.is_batch else least), max(at_once, most)

    def _shape(self, job: Job) -> CallShape:
        handler = self._handler(job)
        return CallShape(is_batch=handler.is_batch, at_once=self._limits.coroutines if handler.is_async else 1)

    def _refill(self, lease: HeldLease) -> float:
        """Take one start more for a call that cannot go back, and return in how many seconds to ask again."""
        with self._lock:
            return 0.0 if lease.ticket is None else self.limiter.refill(lease.job, lease.ticket)

    def _is_async(self, job: Job) -> bool:
        handler = self._registry.handler(job)
        return handler is not None and handler.is_async

    def _handler(self, job: Job) -> Handler:
        handler = self._registry.handler(job)
        if handler is None:
            raise AssertionError(f"job {job.id} was chosen without a handler")
        return handler.for_mode(job.mode)

    def _prepared(self, lease: HeldLease, executor: Executor) -> LeaseRunner | None:
        """Return what runs a lease; if that cannot be made, hand the rows back and put the job aside."""
        try:
            return self._runner(lease, executor)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - guarantee G9: whatever the job holds, other jobs go on
            self.put_aside(lease.job.id, error)
        self.limiter.release(lease.ticket)
        lease.commit(Commit(is_last=True))
        self._observers.tell(LeaseEnded, lambda: LeaseEnded.of(lease, n_finished=0))
        return None

    def _runner(self, lease: HeldLease, executor: Executor) -> LeaseRunner | None:
        handler = self._handler(lease.job)
        try:
            inputs = self._codec.open(lease.job, lease.index)
        except (InputError, FormatError, Missing, UsageError) as error:
            self._fail(lease, error)
            return None
        except StoreError as error:
            self._put_off(lease, error)
            return None
        if lease.ticket is not None:
            lease.ticket.refill = partial(self._refill, lease)
        self._registry.forget(lease.job.id)
        self._waits_s.pop(lease.job.id, None)
        return LeaseRunner(
            lease,
            self._work(lease, handler, inputs),
            codec=self._codec,
            executor=executor,
            timer=self._timer,
            observers=self._observers,
            threads=self._threads,
            grace_s=self._grace_s,
            spawn=self._spawn,
            is_exposed=_function(lease.job) in self._exposed,
            is_only_suspect=lease.is_only_suspect(after=self._isolates_after),
        )

    def _spawn(self, request: Spawn, parent: str, job: Job) -> str:
        """Submit what a call asks for, and look for it soon: this worker may run it."""
        spawned = self.spawn(request, parent, job)
        self._claimer.discovery.look_soon()
        return spawned

    def _fail(self, lease: HeldLease, error: OqError) -> None:
        """Fail the rows of a lease whose inputs cannot be read: for good, or as an error of the function if that may pass."""
        is_passing, cause = isinstance(error, InputError), error.__cause__
        kind = type(cause if is_passing and cause is not None else error).__name__
        message = cut(f"the inputs of part {lease.index} cannot be read: {error}", MAX_MESSAGE)
        attempts = lease.attempts()

        def failed(row: int, message: str = message) -> Failure:
            attempt = next((attempt for rows, attempt in attempts if row in rows), 1)
            return Failure(type=kind, message=message, traceback="", attempt=attempt, worker=self._worker)

        results = Results.failed(lease.rows, Verb.RETRY if is_passing else Verb.FAIL, failed)
        checkpointer = Checkpointer(
            lease, self._codec, observers=self._observers, lock=self._threads.lock(), refuse=failed, late=_nothing
        )
        checkpointer.commit(results, is_last=True)
        self._over(LeaseEnded.of(lease, n_finished=len(results.all_rows()), is_lost=checkpointer.is_lost), lease)

    def _put_off(self, lease: HeldLease, error: StoreError) -> None:
        """Hand the rows of a lease back whose inputs cannot be read now, and leave that job alone for a while."""
        job_id = lease.job.id
        limits = self._limits
        wait_s = max(limits.inputs_first_wait_s, 2 * self._waits_s.get(job_id, 0.0))
        wait_s = min(wait_s, limits.inputs_longest_wait_s)
        if job_id not in self._waits_s:
            name = printable(lease.job.name) or job_id
            log.warning("job %s is put off, since its inputs cannot be read now: %s", name, printable(str(error)))
        self._waits_s[job_id] = wait_s
        self._registry.note(job_id, Refusal(hurdle=Hurdle.INPUTS, detail=str(error)))
        try:
            lease.commit(Commit(is_last=True))
        except LeaseLost:
            is_lost = True
        else:
            is_lost = False
        self._over(LeaseEnded.of(lease, n_finished=0, is_lost=is_lost), lease)
        with self._lock:
            self._claimer.put_off(job_id, until=self._now() + wait_s)

    def _work(self, lease: HeldLease, handler: Handler, inputs: Inputs) -> Work:
        job, rows = lease.job, lease.rows
        known = self._timer.row_s(job) is not None
        limits, ticket = self._limits, lease.ticket
        if ticket is not None and ticket.at_once is not None:
            limits = replace(limits, coroutines=max(1, min(limits.coroutines, ticket.at_once)))
        return Work(
            handler=handler,
            job_id=job.id,
            origin=job.origin,
            mode=job.mode,
            first_task=lease.index * job.part_rows,
            rows=rows,
            inputs=inputs,
            attempts=lease.attempts(),
            worker=self._worker,
            timeout_s=job.timeout_s,
            first_batch=len(rows) if known else min(limits.first_batch_rows, len(rows)),
            max_batch=len(rows),
            limits=limits,
            is_limited=ticket is not None,
            table=self._codec.table,
            in_order=order_of(self._codec, job.mode),
            output_schema=job.output_schema,
            fitting=self._codec.fitting,
            is_suspect=lease.is_suspect(after=self._isolates_after),
        )


def _nothing() -> None:
    """Do nothing."""


def _claimed(lease: HeldLease) -> LeaseClaimed:
    return LeaseClaimed.of(lease, rows=lease.rows.shift(lease.index * lease.job.part_rows))


def _function(job: Job) -> tuple[str, Code]:
    return job.type, job.code
