"""Which jobs a worker can run, and with what: its own tasks by name, and shipped code if it trusts that.

A job is run with the function that was submitted, and with no other: what this worker has under that name is
compared with what the job says of it, before anything runs and before any byte of the queue's is unpickled.
What does not fit is left to other workers, and the reason noted for people to see.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cachetools import FIFOCache

from oqkit.claim.poller import Topics
from oqkit.errors import Denied, FormatError, Missing, UsageError
from oqkit.limits import TaskLimits
from oqkit.printable import printable
from oqkit.queue.eligibility import Ability, Hurdle, Refusal, other_python, reason, refusal_of
from oqkit.queue.job import Code, Job
from oqkit.queue.key import code_key
from oqkit.queue.repository import Repository
from oqkit.queue.worker_record import MAX_DETAIL, MAX_REFUSALS, Noted
from oqkit.task.code import MAGIC, PYTHON, code_of, described, is_same, load_code
from oqkit.task.function import TaskFunction
from oqkit.task.handler import Handler
from oqkit.task.modules import LoadedModules

log = logging.getLogger(__name__)

_PASSING = {Hurdle.MISSING, Hurdle.DAMAGED, Hurdle.UNLOADABLE, Hurdle.DIFFERENT}
"""What may be otherwise later: somebody stores the function anew, installs a package, sets a global back."""
_OUTDATED = {Hurdle.UNLOADABLE, Hurdle.DIFFERENT}
"""What may be otherwise in a new process, if the source of what this one has loaded has changed."""


class HandlerRegistry:
    """The handlers of one worker; functions from the queue are loaded once."""

    def __init__(self, repository: Repository, tasks: Iterable[TaskFunction], *, trusts_code: bool) -> None:
        self._repository = repository
        self._limits = repository.limits.worker
        self._monotonic = repository.store.clock.monotonic
        self._own: dict[str, _Loaded] = {}
        for task in tasks:
            if task.name in self._own and self._own[task.name].handler.task is not task:
                raise UsageError(f"two tasks are named {task.name!r}: give one of them another, @oq.task(name=...)")
            self._own[task.name] = _Loaded(task, limits=repository.limits.task)
        if not self._own and not trusts_code:
            raise UsageError("a worker needs functions to run: pass tasks, or let it trust shipped code")
        self.ability = Ability(types=frozenset(self._own), trusts_code=trusts_code, python=PYTHON, magic=MAGIC)
        self._modules = LoadedModules()
        self._loaded: dict[tuple[str, Code], _Loaded] = {}
        self._refused: dict[tuple[str, Code], _Refused] = {}
        self._noted: FIFOCache[str, Refusal] = FIFOCache(MAX_REFUSALS)
        self._noted_lock = threading.Lock()
        self.n_changes = 0
        """How often what is noted has changed."""
        self.is_outdated = False
        """Whether a job was left alone that this worker might run if it were started anew: a module has changed."""

    def topics(self) -> Topics:
        """Return which jobs to look for."""
        return Topics(types=self.ability.types, everything=self.ability.trusts_code)

    def can_run(self, job: Job) -> bool:
        """Whether there is a handler for a job; loads its code if need be, and notes why not.

        Code from the queue is never touched without trust (guarantee G7).
        """
        is_outdated = self._is_outdated(job.code)
        if self.handler(job) is not None and not is_outdated:
            return True
        which = job.type, job.code
        known = self._refused.get(which)
        if known is not None and (job.id, job.gen) in known.jobs and self._monotonic() < known.again:
            return False
        found = Refusal(hurdle=Hurdle.DIFFERENT) if is_outdated else self._look(job)
        if isinstance(found, Refusal):
            self._refuse(job, found, known)
            return False
        self._loaded[which] = found
        self._refused.pop(which, None)
        self.forget(job.code.name)
        return True

    def handler(self, job: Job) -> Handler | None:
        """Return what runs a job, or None if `can_run` has not said that there is such a thing."""
        found = self._loaded.get((job.type, job.code)) if job.code.name else self._own.get(job.type)
        return None if found is None else found.handler

    # --- what is noted ---------------------------------------------------------------------------

    def noted(self) -> tuple[Noted, ...]:
        """Return what this worker leaves alone, the newest last."""
        with self._noted_lock:
            found = list(self._noted.items())
        return tuple(Noted(subject=subject, hurdle=why.hurdle, detail=why.detail) for subject, why in found)

    def note(self, subject: str, refusal: Refusal) -> None:
        """Note a refusal for people to see: of the function, or the job, that is called `subject`."""
        refusal = replace(refusal, detail=" ".join(refusal.detail.split())[:MAX_DETAIL])
        with self._noted_lock:
            if self._noted.get(subject) == refusal:
                return
            self._noted.pop(subject, None)  # what is set anew is the newest
            self._noted[subject] = refusal
            self.n_changes += 1

    def forget(self, subject: str) -> None:
        """Take back what was noted: it is not so any more."""
        with self._noted_lock:
            if self._noted.pop(subject, None) is not None:
                self.n_changes += 1

    def _refuse(self, job: Job, refusal: Refusal, known: _Refused | None) -> None:
        limits = self._limits
        wait_s = limits.recheck_first_s if known is None else min(2 * known.wait_s, limits.recheck_longest_s)
        again = self._monotonic() + wait_s if refusal.hurdle in _PASSING else float("inf")
        jobs = known.jobs if known is not None else set()
        jobs.add((job.id, job.gen))
        if known is None:
            name, why = printable(job.name) or job.id, printable(reason(refusal, job))
            log.warning("job %s (%s) is left to other workers: %s", name, job.type, why)
        self._refused[job.type, job.code] = _Refused(again=again, wait_s=wait_s, jobs=jobs)
        if job.code.name:
            self.note(job.code.name, refusal)
        if refusal.hurdle in _OUTDATED and not self.is_outdated and (changed := self._modules.changed()):
            self.is_outdated = True
            log.warning("modules have changed since they were loaded here: %s", ", ".join(changed[:8]))

    def _is_outdated(self, code: Code) -> bool:
        """Whether a function that nobody can compare comes from a module whose file has changed since it was imported."""
        module = code.reference.partition(":")[0]
        return module != "" and not code.fingerprint and self._modules.has_changed(module)

    # --- looking at functions --------------------------------------------------------------------

    def _look(self, job: Job) -> _Loaded | Refusal:
        """Return what runs a job: the function of this worker's own that was submitted, or one that is loaded."""
        own = self._own.get(job.type)
        verdict = None if own is None else own.is_same(job.code)
        if own is not None and (verdict or (verdict is None and own.is_meant_by(job.code))):
            return own
        if refusal := refusal_of(self.ability, job) or other_python(self.ability, job):
            return refusal
        if self.ability.trusts_code:
            return self._load(job)
        return Refusal(hurdle=Hurdle.TRUST if verdict is None else Hurdle.DIFFERENT)

    def _load(self, job: Job) -> _Loaded | Refusal:
        try:
            loaded = _Loaded(load_code(self._repository, job.code), limits=self._repository.limits.task)
        except Missing:
            return Refusal(hurdle=Hurdle.MISSING, detail=code_key(job.code.digest))
        except FormatError:
            return Refusal(hurdle=Hurdle.DAMAGED, detail=code_key(job.code.digest))
        except (UsageError, Denied) as error:
            return Refusal(hurdle=Hurdle.UNLOADABLE, detail=str(error))
        finally:
            self._modules.note()
        return Refusal(hurdle=Hurdle.DIFFERENT) if loaded.is_same(job.code) is False else loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refused:
    """A function whose jobs are left alone, until when (monotonic seconds), and how long that is.

    A job that was not seen before makes it be looked at again at once: whoever submitted it may have stored the
    function anew.
    """

    again: float
    wait_s: float
    jobs: set[tuple[str, int]]


class _Loaded:
    """A function of this worker, and how it was described when it was loaded: its own calls may change what it holds."""

    def __init__(self, task: TaskFunction, *, limits: TaskLimits) -> None:
        self.handler = Handler(task)
        self._limits = limits
        self._code = described(task)

    def is_same(self, submitted: Code) -> bool | None:
        """Whether it is, or was when it was loaded, the function that was submitted; None if nobody can tell."""
        verdict = is_same(self._code, submitted)
        if verdict is False:
            return is_same(described(self.handler.task), submitted)
        if verdict is None and submitted.digest and not submitted.fingerprint:
            return is_same(self._bytes(), submitted)
        return verdict

    def is_meant_by(self, submitted: Code) -> bool:
        """Whether a job that names its function by reference can only mean this one."""
        return bool(submitted.reference) and self._code.reference in {"", submitted.reference}

    def _bytes(self) -> Code:
        try:
            return code_of(self.handler.task, limits=self._limits)[0]
        except UsageError:  # it cannot be shipped, so it was not
            return self._code
