"""``import oqkit.pandas`` gives frames of pandas ``df.oq.submit(fn)`` and ``df.oq.apply(fn)``."""

from __future__ import annotations

import pandas as pd

from oqkit.door.frame_accessor import FrameAccessor

pd.api.extensions.register_dataframe_accessor("oq")(FrameAccessor)
