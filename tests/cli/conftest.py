"""The command line in this process."""

from __future__ import annotations

import pytest

from oqkit.cli.main import main


@pytest.fixture
def url(queue) -> str:
    return queue.url


@pytest.fixture
def run(capsys):
    """Run a command; return its exit code, and what it wrote to the standard output and error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run
