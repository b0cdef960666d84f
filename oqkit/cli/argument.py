"""Arguments that several commands take."""

from __future__ import annotations

import argparse


def add_job(parser: argparse.ArgumentParser) -> None:
    """Take a job by its name or id."""
    parser.add_argument("job", metavar="JOB", help="its name or id")


def add_by(parser: argparse.ArgumentParser) -> None:
    """Take who gives an order."""
    parser.add_argument("--by", metavar="WHO", help="who gives the order, for its history (default: you)")


def add_reason(parser: argparse.ArgumentParser) -> None:
    """Take why an order is given."""
    parser.add_argument("--reason", metavar="TEXT", help="why, for its history and for whoever waits")
