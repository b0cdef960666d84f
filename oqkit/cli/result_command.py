"""``oq result``: what a job's functions returned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from oqkit.cli.answer import Answer, Said, Table
from oqkit.cli.argument import add_job
from oqkit.client.queue import Queue
from oqkit.errors import StoreError, UsageError

SUFFIXES = (".parquet", ".csv")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say of which job, and where the results go."""
    add_job(parser)
    parser.add_argument("--to", type=Path, metavar="FILE", help="write them to a .parquet or .csv file")
    parser.add_argument("--timeout", type=float, metavar="S", help="wait no longer than this; 0: not at all")
    parser.add_argument("--partial", action="store_true", help="what has completed so far; does not wait")
    parser.add_argument("--join", action="store_true", help="with the submitted columns first")
    parser.add_argument(
        "--errors",
        choices=("raise", "coerce", "drop"),
        default="raise",
        help="what did not complete: refuse (default), give nulls, or give no row",
    )


def run(queue: Queue, options: argparse.Namespace) -> Answer:
    """Wait, and show the results or write them to a file."""
    if options.to is not None and options.to.suffix not in SUFFIXES:
        raise UsageError(f"--to {options.to}: the file's name ends in {' or '.join(SUFFIXES)}")
    job = queue.job(options.job)
    if options.partial:
        frame = job.partial(errors="coerce" if options.errors == "coerce" else "drop", join=options.join)
    else:
        frame = job.result(options.timeout, errors=options.errors, join=options.join)
    if not isinstance(frame, pd.DataFrame):
        frame = frame.to_pandas()  # of polars, as it was submitted
    if options.to is None:
        return Table(frame=frame, now=queue.repository.now())
    _save(frame, options.to)
    return Said(line=f"{len(frame):,} rows in {options.to}", facts={"rows": len(frame), "file": str(options.to)})


def _save(frame: Any, path: Path) -> None:
    draft = path.with_name(f".{path.name}.part")  # nobody finds half a file there
    try:
        frame.to_csv(draft) if path.suffix == ".csv" else frame.to_parquet(draft)
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
