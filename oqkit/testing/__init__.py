"""What tests of code on oqkit need: the contract of a store, fakes, and real S3 servers."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):  # the servers and fakes work without pytest
    import pytest

    # Before anybody imports it: a failing assertion of the contract then shows its values.
    pytest.register_assert_rewrite("oqkit.testing.contract", "oqkit.testing.race")
