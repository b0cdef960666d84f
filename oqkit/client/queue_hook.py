"""The hooks of a client: functions that are called when this process has done something with the queue."""

from __future__ import annotations

from oqkit.client.connection import Connection
from oqkit.observe.hook import H, Occasion


class QueueHooking(Connection):
    """Takes functions, plain or coroutine functions, as methods that are also decorators: ``@q.on_submit``.

    Those of one kind are called in the order in which they came, in a thread of their own, soon after it is so. What they
    do or raise changes nothing; an error is logged. The end of the process waits two seconds for them.
    """

    def on_submit(self, hook: H) -> H:
        """Call `hook` (of a `JobSubmitted`) for each job that this process stores in the queue."""
        return self.hooks.add(Occasion.SUBMIT, hook)

    def on_attach(self, hook: H) -> H:
        """Call `hook` (of a `JobAttached`) when a submission gives back a job that is there already."""
        return self.hooks.add(Occasion.ATTACH, hook)

    def on_order(self, hook: H) -> H:
        """Call `hook` (of a `JobOrdered`) when a handle of this process cancels, retries, pauses or resumes."""
        return self.hooks.add(Occasion.ORDER, hook)
