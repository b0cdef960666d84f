"""Arguments that several commands take."""

from __future__ import annotations

import argparse


def add_job(parser: argparse.ArgumentParser) -> None:
    """Take a job by its name or id."""
    parser.add_argument("job", metavar="JOB", help="its name or id")
