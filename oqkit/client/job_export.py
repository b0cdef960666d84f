"""The verbs of a job that give its results to other programs: as a Parquet file, or as a dataset."""

from __future__ import annotations

import os
from typing import Any

import pyarrow.dataset as pads

from oqkit.client.job_collect import Errors, JobCollecting, check_errors
from oqkit.client.result_files import dataset_of, write_parquet
from oqkit.client.result_table import Chunked, ResultTable, WholeTable


class JobExporting(JobCollecting):
    """Results that need not fit into memory."""

    def to_parquet(
        self, path: str | os.PathLike[str], timeout: float | None = None, *, errors: Errors = "raise"
    ) -> None:
        """Wait, and write the results to one Parquet file, a chunk of rows at a time; `timeout` and `errors` are as in `result`.

        `path` is local or wherever `fsspec` reaches, as this machine's own configuration says. The file appears once it is whole,
        in place of what was there. `pandas.read_parquet` gives the frame that `result` gives, with its index and its dtypes; but
        categorical columns come as their values, and objects as Arrow has them, or, if no type of Arrow holds them, as JSON text.
        """
        self._wait_for(timeout, errors)
        write_parquet(self._result_table(errors), os.fspath(path), self._connection)

    def dataset(self, timeout: float | None = None, *, errors: Errors = "raise") -> pads.Dataset:
        """Wait, and return the results as a `pyarrow.dataset`, which DuckDB, polars and Spark read in place.

        They are in Parquet files of one schema in the job's own folder, in the order of the rows, as `to_parquet` writes them: a copy of
        what the workers wrote, which is in small files, in any order, and may have been replaced in part. It is made
        by the first call, with a chunk of rows in memory at a time, and made again if tasks ran again since. It goes with the job.
        """
        self._wait_for(timeout, errors)
        facts: list[Any] = [errors == "drop", self._collector.completed()]
        return dataset_of(self._connection, self._view.state.job, facts, lambda: self._result_table(errors))

    def _wait_for(self, timeout: float | None, errors: Errors) -> None:
        check_errors(errors)
        self._wait(timeout)
        if errors == "raise":
            self._view.state.check()
            self._raise_for_failures()

    def _result_table(self, errors: Errors) -> Chunked:
        if self._collector.explodes or self._collector.order() is not None:
            return WholeTable(self._results(errors))
        table = ResultTable(self._collector, missing="drop" if errors == "drop" else "null")
        self._tell_unreadable(errors)
        return table
