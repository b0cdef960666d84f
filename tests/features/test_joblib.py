"""What uses joblib runs in a queue: joblib itself, and scikit-learn."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import oqkit
import oqkit.joblib
from tests.local import until


def square(x):
    return x * x


def scaled(x, *, by):
    if by == 0:
        raise ZeroDivisionError("by nothing")
    return x / by


def calls(xs, fn=square, **options):
    return [joblib.delayed(fn)(x, **options) for x in xs]


def test_calls_run_in_the_queue_and_come_back_in_order(queue, start):
    start()
    with joblib.parallel_config("oqkit"):
        assert joblib.Parallel()(calls(range(30))) == [x * x for x in range(30)]
    assert queue.jobs()["tasks"].sum() == 30
    assert set(queue.jobs()["type"]) == {"call.joblib_batch"}


def test_backend_takes_a_queue_and_options(queue, start, request):
    other = oqkit.connect(f"memory://another-{request.node.callspec.id}")
    oqkit.connect(queue.url)
    start(queue=other)
    with joblib.parallel_config("oqkit", queue=other, tags={"team": "risk"}, trust="everyone"):
        assert joblib.Parallel(n_jobs=4, batch_size=5)(calls(range(20))) == [x * x for x in range(20)]
    assert 4 <= other.jobs(tags={"team": "risk"})["tasks"].sum() < 20, "calls go in batches"
    assert not len(queue.jobs())


def test_results_come_as_they_are_asked_for(queue, start):
    start()
    with joblib.parallel_config("oqkit"):
        assert list(joblib.Parallel(return_as="generator")(calls(range(9)))) == [x * x for x in range(9)]


def test_exception_is_that_of_the_function_and_nothing_more_begins(queue, start):
    start()
    with joblib.parallel_config("oqkit"), pytest.raises(ZeroDivisionError, match="by nothing"):
        # one at first, as calls that are under way together are made in any order: all others might come before it
        joblib.Parallel(n_jobs=2, pre_dispatch=1)([*calls([1], scaled, by=0), *calls(range(100), scaled, by=1)])
    until(lambda: queue.jobs()["status"].isin(["completed", "failed", "cancelled"]).all())
    assert queue.jobs()["tasks"].sum() == 1
    with joblib.parallel_config("oqkit"), joblib.Parallel(n_jobs=2) as parallel:
        with pytest.raises(ZeroDivisionError):
            parallel(calls([1], scaled, by=0))
        assert parallel(calls([3])) == [9]


def test_number_of_calls_under_way_is_that_of_slots(queue, start):
    backend = oqkit.joblib.QueueBackend()
    n_processors = max(2, os.cpu_count())
    assert backend.effective_n_jobs(-1) == backend.effective_n_jobs(None) == n_processors
    start(concurrency=n_processors + 3)
    until(lambda: len(queue.workers()) == 1)
    assert backend.effective_n_jobs(-1) == n_processors + 3
    assert backend.effective_n_jobs(-2) == n_processors + 2
    assert backend.effective_n_jobs(7) == 7
    with pytest.raises(ValueError, match="n_jobs == 0"):
        backend.effective_n_jobs(0)


def test_forest_is_the_same_as_alone(queue, start):
    start()
    x, y = make_classification(100, 5, random_state=0)
    alone = RandomForestClassifier(5, random_state=0).fit(x, y)
    with joblib.parallel_config("oqkit", n_jobs=3):
        forest = RandomForestClassifier(5, random_state=0, n_jobs=3).fit(x, y)
    np.testing.assert_array_equal(forest.predict_proba(x), alone.predict_proba(x))


class Deadly(StandardScaler):
    """Kills the first process that fits it, other than this one."""

    def __init__(self, folder=None, spared=None):
        super().__init__()
        self.folder = folder
        self.spared = spared

    def fit(self, x, y=None, sample_weight=None):
        victim = Path(self.folder, "victim")
        if os.getpid() != self.spared and not victim.exists():
            victim.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(x, y, sample_weight)


@pytest.mark.slow
def test_grid_search_on_four_processes_has_the_scores_of_one_though_a_worker_is_killed(folder_queue, tmp_path):
    x, y = make_classification(2000, 20, random_state=3)
    model = make_pipeline(Deadly(str(tmp_path), os.getpid()), LogisticRegression(max_iter=200))
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}, cv=5, n_jobs=8)
    with joblib.parallel_config("sequential"):
        alone = clone(search).fit(x, y)
    with oqkit.local_workers(4, queue=folder_queue, lease_s=2) as workers, joblib.parallel_config("oqkit"):
        first = workers.pids
        search.fit(x, y)
        assert int((tmp_path / "victim").read_text()) in first, "a worker was killed"
    for name in (f"split{n}_test_score" for n in range(5)):
        np.testing.assert_array_equal(search.cv_results_[name], alone.cv_results_[name])
    assert search.best_params_ == alone.best_params_
    assert folder_queue.jobs()["tasks"].sum() == folder_queue.jobs()["completed"].sum() == 20
