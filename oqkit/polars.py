"""``import oqkit.polars`` gives frames of polars ``df.oq.submit(fn)`` and ``df.oq.apply(fn)``."""

from __future__ import annotations

import polars as pl

from oqkit.door.frame_accessor import FrameAccessor

pl.api.register_dataframe_namespace("oq")(FrameAccessor)
