"""A lease in a part that many of them have been in."""

from __future__ import annotations

from collections import Counter

from oqkit.limits import ClaimLimits
from oqkit.payload.codec import ParquetCodec
from oqkit.queue.commit import Commit, Outcome
from oqkit.queue.transition import Verb
from oqkit.worker.buffer import Results


def test_part_of_many_commits_stays_small(world):
    """Each commit writes the outputs again that the part holds itself; so it holds a bounded number of them."""
    job = world.submit(world.job(1, n_tasks=100, part_rows=100)).job
    worker = world.worker(max_rows=1)
    codec = ParquetCodec(worker.repository)
    for _ in range(100):
        lease = worker.find()
        results = Results(rows=lease.rows, values=["v" * 1000])
        output, _ = codec.pack(results, refuse=None, inline_bytes=lease.inline_bytes)
        if isinstance(output, bytes):
            lease.put_output(output)
        outcome = Outcome(verb=Verb.COMPLETE, rows=lease.rows)
        lease.commit(Commit(outcomes=[outcome], output=output, is_last=True))
        worker.claimer.ended(lease)
    (part,) = world.parts(job)
    assert part.is_final
    n_inline = ClaimLimits().inline_outputs
    assert Counter(output is None for output in part.outputs.values()) == {False: n_inline, True: 100 - n_inline}
    assert len(world.inner.read(worker.repository.keys_of(job).part(0)).data) < 100_000
