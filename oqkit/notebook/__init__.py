"""The notebook: jobs that show themselves, ``%oq`` and `board`. Importing it in a notebook is all it takes."""

from __future__ import annotations

from oqkit.notebook.display import register

register()
