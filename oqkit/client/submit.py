"""Storing what is submitted: as a new job, or by attaching to the one that is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import assert_never

from oqkit.client.backlog import await_room
from oqkit.client.dependency import check_circle, parents_of
from oqkit.client.duplicate import Choice, Decision, decide, derived_name, input_difference
from oqkit.client.keyed import SubmissionKey
from oqkit.client.spec import Function, JobSpec, job_of
from oqkit.client.wait import tell
from oqkit.errors import DuplicateJob, OqError, SchemaError, Unavailable
from oqkit.observe.event import JobAttached, JobSubmitted
from oqkit.observe.observer import Observers
from oqkit.payload.item_places import PLACES
from oqkit.queue import key as keys
from oqkit.queue.job import Job
from oqkit.queue.repository import Repository
from oqkit.queue.submission import JOB_SCOPE, Submission, Submitted, latest, resume
from oqkit.task.code import put_code
from oqkit.task.function import Options


class Submitter:
    """Stores jobs in one queue; remembers which names and functions it stored, to save requests."""

    def __init__(self, repository: Repository, observers: Observers) -> None:
        self._repository = repository
        self._limits = repository.limits
        self._observers = observers
        self._codes: set[str] = set()
        self._names: dict[str, int] = {}
        """Names that were submitted here, and their newest known generation."""
        self._told: set[str] = set()

    def submit_single(
        self, spec: JobSpec, options: Options, *, key: SubmissionKey | None, parent: str = "", root: str = ""
    ) -> Job:
        """Store a job of one task; with a `key`, return the task that has it, or raise `DuplicateJob` for another input.

        `parent` is the id of the task that spawned it, in the pipeline of the job `root`.
        """
        self.await_room(spec.function, options)
        wanted = job_of(spec, self._repository, name="", options=options)
        wanted = replace(wanted, parent=parent, root=root or wanted.root)
        if key is None:
            return self._store(spec, wanted).job
        wanted = replace(wanted, key_until=key.until(wanted.created))
        stored = self._store_keyed(spec, wanted, key)
        if stored.job.deleted is not None:
            return stored.job
        differing = "" if stored.is_new else input_difference(stored.job, wanted)
        if differing:
            raise DuplicateJob(
                f"{key} was already used for another {stored.job.type!r} task, {stored.job.id}.0: {differing}. "
                "Choose another key, or submit the input that belongs to it"
            )
        if not stored.is_new:
            self._attached(stored.job)
        return stored.job

    def _store_keyed(self, spec: JobSpec, wanted: Job, key: SubmissionKey) -> Submitted:
        """Store a job under a key, or return the one that holds it; after one whose time with it is over comes the next generation.

        So it does after one that was deleted; but what a task has spawned once is never spawned again.
        """
        scope, generation = key.scope_of(wanted.type), 1
        while True:
            stored = self._store(spec, replace(wanted, id=keys.keyed_job_id(scope, key.text, generation)))
            is_spent = stored.job.deleted is not None and bool(wanted.parent)
            if stored.is_new or is_spent or stored.job.holds_key(self._repository.now()):
                return stored
            newest, found = latest(self._repository, scope, key.text, known=generation)
            if found is not None and found.holds_key(self._repository.now()):
                resume(self._repository, found)
                return Submitted(job=found, is_new=False)
            generation = newest + 1

    def submit_each(self, specs: Sequence[JobSpec], options: Options) -> list[Job | OqError]:
        """Store a job of one task for each spec, several at a time, after a check that all of them can be stored.

        Of one that was not stored, its place holds the error. After the first one no further is begun.
        """
        for function in {spec.function.type: spec.function for spec in specs}.values():
            self.await_room(function, options)
        parents = parents_of(self._repository, options.depends_on)  # once for all, and of an iterator
        options = replace(options, depends_on=parents or None)
        wanted = [self._numbered(number, spec, options) for number, spec in enumerate(specs)]
        for job in wanted:
            Submission(self._repository, job).check()
        for spec in specs:
            self.put_code(spec.function)
        failed: list[OqError] = []

        def store(spec: JobSpec, job: Job) -> Job | OqError:
            if failed:
                return Unavailable(f"not tried, after another call failed: {failed[0]}")
            try:
                return self._store(spec, job).job
            except OqError as error:
                failed.append(error)
                return error

        return self._repository.map(lambda pair: store(*pair), zip(specs, wanted, strict=True))

    def _numbered(self, number: int, spec: JobSpec, options: Options) -> Job:
        try:
            return job_of(spec, self._repository, name="", options=options)
        except SchemaError as error:
            raise SchemaError(f"call {number}: {error}") from None

    def submit_job(self, spec: JobSpec, options: Options, *, name: str | None, on_duplicate: str) -> Job:
        """Store a job, or attach to the newest one of its name; without a name, to the one that does the same work."""
        self.await_room(spec.function, options)
        wanted = job_of(spec, self._repository, name=name or "", options=options)
        if name is None:
            if not wanted.code.fingerprint:
                self._tell_unknown(spec)
                return self._store(spec, wanted).job
            wanted = replace(wanted, name=derived_name(wanted))
        generation, found = 0, None
        if on_duplicate == "rerun" or wanted.name in self._names or self._is_large(spec):
            generation, found = self._latest(wanted.name, known=self._names.get(wanted.name, 1))
        while True:
            settled = self._settle(decide(found, wanted, on_duplicate), found or wanted, spec)
            if settled is not None:
                return settled
            generation += 1
            stored = self._store(spec, replace(wanted, id=keys.keyed_job_id(JOB_SCOPE, wanted.name, generation)))
            self._names[wanted.name] = generation
            if stored.is_new:
                return stored.job
            generation, found = self._latest(wanted.name, known=generation)
            on_duplicate = "attach" if on_duplicate == "rerun" else on_duplicate  # another one ran it again just now

    def put_code(self, function: Function) -> None:
        """Store a function that travels by value, unless this process has."""
        if function.data is not None and self._is_new_code(function):
            put_code(self._repository, function.code, function.data)
            self._codes.add(function.code.digest)

    def await_room(self, function: Function, options: Options) -> None:
        """Wait until there is room for a submission, or raise `QueueFull`, as its options have it."""
        await_room(self._repository, function.type, options.over(function.options))

    def _latest(self, name: str, *, known: int) -> tuple[int, Job | None]:
        return latest(self._repository, JOB_SCOPE, name, known=known)

    def _settle(self, decision: Decision, found: Job, spec: JobSpec) -> Job | None:
        """Return the job that a submission attaches to, None if it is to make one, or raise `DuplicateJob`."""
        match decision.choice:
            case Choice.CREATE:
                return None
            case Choice.ATTACH:
                return self._attach(found)
            case Choice.REFUSE:
                why = f": {spec.function.unknown}" if spec.function.unknown else ""
                raise DuplicateJob(
                    f"job {found.name!r} exists already, with {decision.because}{why}: oq.job({found.name!r}) is it. "
                    "Choose another name=, or pass on_duplicate='rerun' to run this as a new job of that name"
                )
            case _:
                assert_never(decision.choice)

    def _attach(self, found: Job) -> Job:
        resume(self._repository, found)
        age_s = max(0.0, self._repository.now() - found.created)
        tell(f"Attached to job {found.name!r}, submitted {_ago(age_s)}; on_duplicate='rerun' would run it again.")
        self._attached(found)
        return found

    def _attached(self, job: Job) -> None:
        self._observers.tell(JobAttached, lambda: JobAttached(at=self._repository.now(), job=job))

    def _tell_unknown(self, spec: JobSpec) -> None:
        unknown = spec.function.unknown
        if spec.function.task is not None and unknown not in self._told:
            self._told.add(unknown)
            tell(f"Submitted as a new job, as it will be each time: {unknown}. See oq.content_of.")

    def submit_items(self, spec: JobSpec, job: Job, *, places: bytes | None, claim: Callable[[], bool]) -> Job | None:
        """Store a job of items, and where those of its call are if these are not all of them.

        `claim` is called once all else is there, and says whether the items are its own. None if they are not, or were given to
        another job before this one was stored.
        """
        began = self._monotonic()
        submission, job = self._upload(spec, job)
        facts: dict[str, object] = {} if places is None else {PLACES: submission.put_input(places)}
        if not claim():
            submission.withdraw()
            return None
        stored = self._commit(submission, replace(job, input={**job.input, **facts}), began=began)
        return stored.job if stored.is_new else None

    def _store(self, spec: JobSpec, job: Job) -> Submitted:
        began = self._monotonic()
        return self._commit(*self._upload(spec, job), began=began)

    def _upload(self, spec: JobSpec, job: Job) -> tuple[Submission, Job]:
        """Store all that a job needs; return what is to be committed."""
        check_circle(job)
        submission = Submission(self._repository, job)
        if self._is_new_code(spec.function) or spec.has_uploads:
            submission.check()
        self.put_code(spec.function)
        files = spec.files(max_bytes=self._limits.payload.file_bytes)
        refs = [file.ref(submission.put_input(file.data)) for file in files]
        return submission, replace(job, input=spec.input.with_files(refs).to_json())

    def _commit(self, submission: Submission, job: Job, *, began: float) -> Submitted:
        stored = submission.commit(job)
        if stored.is_new:
            took_s = self._monotonic() - began
            self._observers.tell(
                JobSubmitted, lambda: JobSubmitted(at=self._repository.now(), job=stored.job, took_s=took_s)
            )
        return stored

    def _is_new_code(self, function: Function) -> bool:
        return function.data is not None and function.code.digest not in self._codes

    def _is_large(self, spec: JobSpec) -> bool:
        return spec.table is not None and spec.table.nbytes > self._limits.client.check_first_bytes

    def _monotonic(self) -> float:
        return self._repository.store.clock.monotonic()


def _ago(seconds: float) -> str:
    for size, unit in ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second")):
        if seconds >= size:
            n = int(seconds / size)
            return f"{n} {unit}{'s' if n > 1 else ''} ago"
    return "just now"
