"""Waiting for a job: a bar while it runs, and an interrupt that stops the waiting and nothing else."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from oqkit.client.diagnosis import WorkerWatch
from oqkit.client.pace import Pace
from oqkit.errors import Unavailable, WaitTimeout
from oqkit.printable import printable
from oqkit.queue.reconcile import Reconciler
from oqkit.queue.repository import Repository
from oqkit.queue.transition import Status
from oqkit.queue.view import JobState, JobView
from oqkit.task.function import seconds

log = logging.getLogger(__name__)

REFRESH_S = 0.5
"""How often a bar of text is drawn."""


def _nothing() -> None:
    """Show nothing."""


def limit_s(timeout: float | str | None) -> float | None:
    """Return the `timeout` of a user in seconds, or raise `UsageError`."""
    return None if timeout is None else seconds(timeout, what="timeout")


class Waiter:
    """Polls a view until its job is final; waits a little longer between polls as time goes on."""

    def __init__(
        self,
        view: JobView,
        reconciler: Reconciler,
        *,
        workers: WorkerWatch,
        repository: Repository,
        also: Callable[[], object] = _nothing,
    ) -> None:
        """`also` asks the queue of other jobs that are waited for."""
        self._view = view
        self._also = also
        self._reconciler = reconciler
        self._workers = workers
        self._pace = Pace(repository)
        self._is_away = False

    def until(self, done: Callable[[], bool], *, timeout: float | None, on_poll: Callable[[], None] = _nothing) -> None:
        """Refresh until `done()`; raise `WaitTimeout` after `timeout` seconds. Interruptible within 0.2 s."""
        for pause_s in self._pace.pauses(timeout):
            if self._refresh():
                on_poll()
                if done():
                    return
            self._pace.sleep(pause_s)
        raise WaitTimeout(self.unfinished(timeout))

    async def until_async(
        self, done: Callable[[], bool], *, limit_s: float | None, on_poll: Callable[[], None] = _nothing
    ) -> None:
        """Do the same without blocking the event loop, so that widgets stay alive."""
        for pause_s in self._pace.pauses(limit_s):
            if await asyncio.to_thread(self._refresh):
                on_poll()
                if done():
                    return
            await self._pace.sleep_async(pause_s)
        raise WaitTimeout(await asyncio.to_thread(self.unfinished, limit_s))

    def unfinished(self, timeout: float | None) -> str:
        """Say how far the job is, and what may be missing."""
        state = self._view.state
        told = ", ".join(f"{n:,} {status}" for status, n in state.counts().items() if n)
        text = f"job {state.job.name or state.job.id} is not done after {timeout:g} s: {told}. It goes on; wait again later."
        return printable(f"{text} {self._workers.why(state, patience_s=0.0)}".strip())

    def _refresh(self) -> bool:
        """Ask the queue; a store that is away for a while ends no waiting, and is mentioned once an outage."""
        try:
            self._view.refresh()
            self._also()
        except Unavailable as error:
            if not self._is_away:
                log.warning("the queue does not answer, still waiting: %s", error)
            self._is_away = True
            return False
        self._is_away = False
        self._reconciler.look(self._view.state)
        self._workers.why(self._view.state)
        return True


class Drawing(Protocol):
    """A bar that is on the screen."""

    def update(self) -> None:
        """Show what the view knows."""

    def close(self) -> None:
        """Leave it in its last state."""


class BarFactory(Protocol):
    """Makes what a wait shows."""

    def __call__(
        self, handle: Any, /, *, view: JobView, why: Callable[[JobState], str], blocks: bool
    ) -> Drawing | None:
        """Return a bar for the handle of a job, or None to leave it to others.

        `view` is what the wait refreshes, `why` says of a state that it saw why nothing happens; `blocks`: the wait
        blocks the caller.
        """


_factories: list[BarFactory] = []


def register_bar(factory: BarFactory) -> None:
    """Let `factory` draw what waits show; the one that was registered last is asked first."""
    _factories.insert(0, factory)


class Bar:
    """A bar of tasks that have ended, in a terminal or a notebook; silent where nobody looks."""

    def __init__(self, view: JobView, *, workers: WorkerWatch, show: bool | None, handle: object, blocks: bool) -> None:
        self._bar: Drawing
        if show is False or (show is None and not is_interactive()):
            self._bar = LogBar(view, workers)
            return
        made = (factory(handle, view=view, why=workers.said, blocks=blocks) for factory in _factories)
        self._bar = next((bar for bar in made if bar is not None), None) or TqdmBar(view, workers)

    def update(self) -> None:
        """Show the counts of the last refresh."""
        self._bar.update()

    def close(self) -> None:
        """Leave the bar in its last state."""
        self._bar.close()


class LogBar:
    """Shows nothing, but logs once what keeps a job from going on."""

    def __init__(self, view: JobView, workers: WorkerWatch) -> None:
        self._view = view
        self._workers = workers
        self._told = ""

    def update(self) -> None:
        why = self._workers.said(self._view.state)
        if why and why != self._told:
            self._told = why
            job = self._view.state.job
            log.warning("job %s waits: %s", printable(job.name) or job.id, why)

    def close(self) -> None:
        """Do nothing."""


class TqdmBar:
    """A bar of text."""

    def __init__(self, view: JobView, workers: WorkerWatch) -> None:
        from tqdm.auto import tqdm  # 0.1 s at import, only needed where somebody looks

        self._view = view
        self._workers = workers
        self._told = ""
        self._bar = tqdm(
            total=view.state.job.n_tasks,
            desc=printable(view.state.job.name) or view.state.job.type,
            unit=" tasks",
            mininterval=REFRESH_S,
            dynamic_ncols=True,
        )

    def update(self) -> None:
        counts = self._view.state.counts()
        ended = sum(n for status, n in counts.items() if status.is_final)
        shown = {status.value: f"{n:,}" for status, n in counts.items() if n and status in _SHOWN}
        self._bar.set_postfix(shown, refresh=False)
        self._draw(ended, self._view.state.n_under_way())
        why = self._workers.said(self._view.state)
        if why and why != self._told:
            self._told = why
            self._bar.write(why, file=self._bar.fp)

    def _draw(self, n_ended: int, n_under_way: float) -> None:
        """Draw the bar so far; it gets shorter where a call that was under way has to run again."""
        self._bar.n = n_ended + round(n_under_way, 2) if n_under_way else n_ended
        self._bar.last_print_n = min(self._bar.last_print_n, self._bar.n)
        self._bar.update(0)

    def close(self) -> None:
        self._bar.refresh()
        self._bar.close()


_SHOWN = (Status.RUNNING, Status.FAILED, Status.CANCELLED, Status.EXPIRED)


def is_interactive() -> bool:
    """Whether a person sees what is written: a terminal or a notebook."""
    return is_notebook() or sys.stderr.isatty()


def is_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def tell(text: str) -> None:
    """Write one line for the person who called; not in red, as a notebook shows the other stream."""
    stream = sys.stdout if is_notebook() else sys.stderr
    stream.write(f"{printable(text)}\n")
    stream.flush()


@contextmanager
def interruptible(view: JobView) -> Iterator[None]:
    """On Ctrl-C, say that the work goes on and how to come back, then pass the interrupt on."""
    name = view.state.job.name or view.state.job.id
    text = (
        f"Stopped waiting; the job goes on. Come back with oq.job({name!r}), "
        f"stop the work with oq.job({name!r}).cancel()."
    )
    try:
        yield
    except KeyboardInterrupt:
        if is_notebook():
            raise WaitInterrupted(text) from None
        tell(text)
        raise
    except asyncio.CancelledError:  # what an interrupt is to `await job`
        raise WaitCancelled(text) from None


class _Told:
    """An interrupt that IPython shows as its one line of text; rendering a traceback takes it a second."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class WaitInterrupted(_Told, KeyboardInterrupt):
    """Ctrl-C while waiting in a notebook."""


class WaitCancelled(_Told, asyncio.CancelledError):
    """The waiting was cancelled: the kernel was interrupted, or a program cancelled its own task."""
