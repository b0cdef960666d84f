"""What tests of stores in a directory share."""

from __future__ import annotations

import os


def fail_with(number):
    """Return a function that fails as the system does with this error number."""

    def fail(*_args, **_options):
        raise OSError(number, os.strerror(number))

    return fail


def temporary_files(root):
    return list((root / ".tmp").iterdir())
