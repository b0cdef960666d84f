"""oqkit: durable dataframe jobs on an S3 bucket and nothing else. ``import oqkit as oq``.

The public names are listed in `oqkit.api`. They are imported at the first use of one: ``oq --help`` and the processes that run functions
need not wait for pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

# at once: later the package of that name, once imported, would stand in its place
from oqkit.task.function import task as task

if TYPE_CHECKING:
    from oqkit.api import *  # noqa: F403

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker would take every name for one that is there

    def __getattr__(name: str) -> object:
        """Import the public names, and return the one that is asked for."""
        if name == "__all__" or not name.startswith("__"):
            api = importlib.import_module("oqkit.api")
            globals().update({each: getattr(api, each) for each in ("__all__", *api.__all__)})
        if name in globals():
            return globals()[name]
        raise AttributeError(f"module 'oqkit' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *importlib.import_module("oqkit.api").__all__})
