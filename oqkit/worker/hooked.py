"""The hooks of a worker, as methods that are also decorators: ``@worker.on_success``."""

from __future__ import annotations

from oqkit.observe.hook import H, Hooks, Occasion


class HookedWorker:
    """Takes functions, plain or coroutine functions, and calls those of one kind in the order in which they came.

    They are called in a thread of their own in the worker's process, with what happened as their argument, or with none if
    they take none. What they do or raise changes nothing of the work; an error is logged. At the end of `run` they have
    the worker's grace time to get through with what has happened.
    """

    _hooks: Hooks

    def on_startup(self, hook: H) -> H:
        """Call `hook` (of a `WorkerStarted`) when the worker starts; it looks for work once that has returned."""
        return self._hooks.add(Occasion.STARTUP, hook)

    def on_success(self, hook: H) -> H:
        """Call `hook` (of a `TaskEvent`) for each task that completed, once its result is stored for good."""
        return self._hooks.add(Occasion.SUCCESS, hook)

    def on_error(self, hook: H) -> H:
        """Call `hook` (of a `TaskEvent`) for each task that failed and is not tried again, once that is stored."""
        return self._hooks.add(Occasion.ERROR, hook)

    def on_retry(self, hook: H) -> H:
        """Call `hook` (of a `TaskEvent`) for each attempt that went wrong, but is followed by another one."""
        return self._hooks.add(Occasion.RETRY, hook)

    def on_shutdown(self, hook: H) -> H:
        """Call `hook` (of a `WorkerStopped`) when the worker has ended, also by a signal or Ctrl-C."""
        return self._hooks.add(Occasion.SHUTDOWN, hook)
