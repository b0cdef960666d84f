"""A lease as its holder sees it: commit outcomes, stay alive, end."""

from __future__ import annotations

from oqkit.claim.limiter import Ticket
from oqkit.errors import LeaseLost, Missing, UsageError
from oqkit.limits import Limits
from oqkit.queue.cas import Versioned
from oqkit.queue.commit import Commit
from oqkit.queue.document import dump_part
from oqkit.queue.job import Job, caught_up
from oqkit.queue.part import Part, commit, output_id
from oqkit.queue.repository import Repository
from oqkit.queue.rows import Rows
from oqkit.queue.signal_seal import signals_taken
from oqkit.queue.suspect import lease_s_for


class HeldLease:
    """The rows of one part that this worker may write the outcomes of."""

    def __init__(
        self, repository: Repository, job: Job, held: Versioned[Part], lease_id: str, *, lease_s: float
    ) -> None:
        self._repository = repository
        self.held = held
        self.job = job
        self.id = lease_id
        self.ticket: Ticket | None = None
        """What it may use of the limits of its job; None if that has none."""
        self.worker = held.doc.lease(lease_id).worker
        self.lease_s = lease_s_for(held.doc.states, lease_id, lease_s=lease_s, limits=repository.limits.queue)
        """How long it lasts from each commit on, in seconds."""

    @property
    def limits(self) -> Limits:
        """The limits of whoever works on the queue here."""
        return self._repository.limits

    @property
    def part(self) -> Part:
        """The part as last read or written."""
        return self.held.doc

    @property
    def index(self) -> int:
        """Which part."""
        return self.part.index

    @property
    def rows(self) -> Rows:
        """The rows still held, as last known; cancelled ones drop out with a commit."""
        return self.part.held(self.id)

    @property
    def is_over(self) -> bool:
        """Whether a commit ended it, as one does that leaves it no row: it has nothing more to say."""
        return not any(lease.id == self.id for lease in self.part.leases)

    @property
    def expires(self) -> float:
        """When others may take the rows over, in epoch seconds; 0 when the lease has ended."""
        return next((lease.expires for lease in self.part.leases if lease.id == self.id), 0.0)

    def is_suspect(self, *, after: int) -> bool:
        """Whether one of the rows held killed a worker, or may have: its leases ran out `after` times in a row."""
        return any(state.deaths > 0 or state.lost >= after for state in self.part.states if state.lease == self.id)

    def is_only_suspect(self, *, after: int) -> bool:
        """Whether the one row held is to run while nothing else does.

        It may kill its worker although it is isolated, since its lease ran out once more; or its deaths are used
        up, but none was certain to be its own doing.
        """
        rows = self.rows
        if len(rows) != 1:
            return False
        state = self.part.state_at(rows.first)
        return state.lost > after or state.deaths >= self.max_losses

    @property
    def is_alone(self) -> bool:
        """Whether it is on record that nothing else is at stake in this worker."""
        return any(lease.id == self.id and lease.is_alone for lease in self.part.leases)

    @property
    def max_losses(self) -> int:
        """How many deaths of a worker a row may cause."""
        return self.job.policy.max_losses

    def deaths(self, row: int) -> int:
        """Return how many a row has caused so far."""
        return self.part.state_at(row).deaths

    def signals(self, job: Job, name: str, row: int, *, since: int) -> list[str]:
        """Return the values of the signals that a row of the job was sent, as far as this worker takes them."""
        return signals_taken(self._repository, job, name, row, since=since)

    def read_job(self) -> Job:
        """Return the job as it is now, or raise `LeaseLost` if it was deleted."""
        try:
            return self._repository.read_job(self.job.id).doc
        except Missing:
            raise LeaseLost(self.id) from None

    def now(self) -> float:
        """Return the store's time, in epoch seconds."""
        return self._repository.now()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._repository.store.clock.sleep(seconds)

    def monotonic(self) -> float:
        """Return this machine's monotonic time, in seconds."""
        return self._repository.store.clock.monotonic()

    @property
    def inline_bytes(self) -> int:
        """How large an output may be that the part itself holds; every commit in it writes all of those again."""
        if self.part.n_rows == 1:
            return self.limits.payload.inline_value_bytes
        n_inline = sum(output is not None for output in self.part.outputs.values())
        return self.limits.payload.inline_bytes if n_inline < self.limits.claim.inline_outputs else 0

    def attempts(self) -> tuple[tuple[Rows, int], ...]:
        """Return, for the rows held, which attempt that counts this is: 1 for the first."""
        return tuple((rows, state.used) for state, rows in self.part.states.items() if state.lease == self.id)

    def put_output(self, data: bytes) -> None:
        """Upload the Parquet object that the next commit will name."""
        number = self.part.lease(self.id).commits + 1
        self._repository.loop.put_once(
            self._repository.keys_of(self.job).output(self.index, output_id(self.id, number)), data
        )

    def check(self, given: Commit) -> None:
        """Raise `UsageError` if the part, as it was last seen, could not be stored after a commit. Asks nobody."""
        n_bytes, most = len(dump_part(self._after(self.part, given, chance=0.5))), self.limits.claim.grown_part_bytes
        if n_bytes > most and any(outcome.wait is not None for outcome in given.outcomes):
            raise UsageError(
                f"part {self.index} of job {self.job.id} would take {n_bytes:,} bytes, and may grow to {most:,} by what its tasks wait "
                "for: let them wait for fewer signals, with shorter names, or submit with smaller parts (part_rows=)"
            )

    def _after(self, part: Part, given: Commit, *, chance: float) -> Part:
        now = self._repository.now()
        part = caught_up(part, self.job, now=now)
        return commit(part, self.id, given, now=now, policy=self.job.policy, chance=chance, lease_s=self.lease_s)

    def commit(self, given: Commit, *, patience_s: float | None = None) -> None:
        """Record what `given` says and extend the lease, or end it if it holds no row any more; raise `LeaseLost` if it is gone.

        `patience_s` says how long to try (None: as long as the queue's settings say). One write if nobody else
        touched the part. After `Unavailable` the same commit, and no other, may be repeated: it may have been applied
        already. An output in Parquet is uploaded before, by `put_output`.
        """
        number = self.part.lease(self.id).commits + 1
        chance = self._repository.rng.random()
        try:
            self.held = self._repository.update_part(
                self.job,
                self.index,
                lambda part: self._after(part, given, chance=chance),
                applied=lambda part: part.has_commit(self.id, number),
                held=self.held,
                patience_s=patience_s,
            )
        except Missing:  # the job was deleted
            raise LeaseLost(self.id) from None
