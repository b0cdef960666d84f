from __future__ import annotations

import itertools
import pickle

import pytest

from oqkit.errors import IllegalTransition
from oqkit.queue.transition import Status, Verb, target

# Written out by hand from design.md §6; "-" is illegal.
#                pending    running      completed  failed     cancelled  expired
TABLE = """
    claim        running    -            -          -          -          -
    complete     -          completed    -          -          -          -
    fail         -          failed       -          -          -          -
    retry        -          pending      -          -          -          -
    reschedule   -          pending      -          -          -          -
    wait         -          pending      -          -          -          -
    release      -          pending      -          -          -          -
    lose         -          pending      -          -          -          -
    cancel       cancelled  cancelled    -          -          -          -
    expire       expired    -            -          -          -          -
    reject       failed     -            -          -          -          -
    reopen       -          -            -          pending    pending    pending
"""
STATUSES = ("pending", "running", "completed", "failed", "cancelled", "expired")
EXPECTED = {
    (verb, status): result
    for verb, *results in (line.split() for line in TABLE.strip().splitlines())
    for status, result in zip(STATUSES, results, strict=True)
}


def test_table_names_every_pair_of_verb_and_status():
    assert set(EXPECTED) == {(str(v), str(s)) for v, s in itertools.product(Verb, Status)}
    assert len(EXPECTED) == 72


@pytest.mark.parametrize(("verb", "status"), [pair for pair, to in EXPECTED.items() if to != "-"])
def test_legal_pair_leads_to_its_status(verb, status):
    assert target(Verb(verb), Status(status)) is Status(EXPECTED[verb, status])


@pytest.mark.parametrize(("verb", "status"), [pair for pair, to in EXPECTED.items() if to == "-"])
def test_illegal_pair_raises(verb, status):
    with pytest.raises(IllegalTransition, match=f"cannot {verb} a task that is {status}") as caught:
        target(Verb(verb), Status(status))
    assert (caught.value.verb, caught.value.status) == (verb, status)


def test_illegal_transition_pickles():
    again = pickle.loads(pickle.dumps(IllegalTransition("claim", "failed")))
    assert (again.verb, again.status, str(again)) == ("claim", "failed", "cannot claim a task that is failed")


@pytest.mark.parametrize("status", STATUSES)
def test_final_statuses_are_those_that_only_reopen_may_leave(status):
    leaving = {verb for (verb, s), to in EXPECTED.items() if s == status and to != "-"}
    assert Status(status).is_final == (leaving <= {"reopen"})
