"""Results that are pickled are loaded only if somebody made them whom this machine trusts."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from oqkit.config import Settings
from oqkit.door.pickled_result import dump_result, load_result, result_keys
from oqkit.errors import FormatError, NotSigned

KEYS = result_keys(Settings(signing_key="k" * 40))
OTHERS = result_keys(Settings(signing_key="o" * 40))
WHAT = "task k1.0"


class Evil:
    """Creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("sealed_by", (None, OTHERS))
def test_pickle_that_was_not_sealed_with_the_key_is_not_loaded(tmp_path, sealed_by):
    forged = dump_result(Evil(tmp_path / "evil"), keys=sealed_by)
    with pytest.raises(NotSigned, match="not sealed with a key of this machine"):
        load_result(forged, keys=KEYS, what=WHAT)
    assert not (tmp_path / "evil").exists()


def test_seal_holds_for_its_own_pickle_only(tmp_path):
    sealed, evil = dump_result({1, "a", 2.5j}, keys=KEYS), dump_result(Evil(tmp_path / "evil"), keys=None)
    assert load_result(sealed, keys=KEYS, what=WHAT) == {1, "a", 2.5j}
    for forged in (sealed[:80] + evil[80:], sealed[:16] + b"\xff" * 64 + sealed[80:], sealed + b"."):
        with pytest.raises(NotSigned):
            load_result(forged, keys=KEYS, what=WHAT)
    assert not (tmp_path / "evil").exists()


def test_without_keys_whatever_is_there_is_loaded():
    assert load_result(dump_result(1j, keys=OTHERS), keys=None, what=WHAT) == 1j


@pytest.mark.parametrize(
    "value", (1, "text", [1.5, None], {"a": (1, 2)}, np.float64(0.1), np.arange(1000), float("nan"))
)
def test_plain_values_are_text_that_needs_no_trust(value):
    stored = dump_result(value, keys=KEYS)
    assert isinstance(stored, str)
    assert repr(load_result(stored, keys=KEYS, what=WHAT)) == repr(value)


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "value", (np.str_("x"), [np.str_("x")], {np.str_("k"): 1}, np.arange(1001), [10**5000], ENDLESS)
)
def test_what_text_would_change_or_be_slow_with_is_pickled(value):
    stored = dump_result(value, keys=KEYS)
    assert isinstance(stored, bytes)
    found = load_result(stored, keys=KEYS, what=WHAT)
    assert type(found) is type(value)
    assert pickle.dumps(found, 4) == pickle.dumps(value, 4)


@pytest.mark.parametrize(
    "stored", (None, 3, "no JSON", '{"$oq": ["unknown"]}', b"", b"-" * 80, b"-" * 80 + b"garbage", {"a": 1})
)
def test_what_is_damaged_is_said_to_be(stored):
    with pytest.raises(FormatError, match=f"the result of {WHAT}"):
        load_result(stored, keys=None, what=WHAT)
