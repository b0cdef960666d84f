import hmac
import pickle

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from oqkit.errors import NotSigned, UsageError
from oqkit.queue.signature import Keyring, Signature

OURS, THEIRS = b"k" * 32, b"another key of thirty-two bytes or more"
SCOPE = "s3://bucket/queue"
TEXT = '{"job":"x","type":"score"}'


def keyring(*secrets, scope=SCOPE):
    return Keyring(secrets or [OURS], scope=scope)


def changed(signature, **fields):
    return Signature(**{"text": signature.text, "kid": signature.kid, "mac": signature.mac, **fields})


def test_key_of_a_queue_is_derived_as_rfc_5869_says():
    derived = HKDF(SHA256(), 32, salt=None, info=b"oqkit/job/v1\0" + SCOPE.encode()).derive(OURS)
    text = TEXT.encode()
    expected = hmac.new(derived, b"oqkit/signature/v1\0" + len(text).to_bytes(8) + text, "sha256").hexdigest()
    assert keyring().sign(TEXT).mac == expected


def test_keyring_verifies_what_it_signed():
    keyring().verify(keyring().sign(TEXT), what="job")


@pytest.mark.parametrize(
    "spoil",
    (
        lambda one: changed(one, text=one.text.replace("score", "scorf")),
        lambda one: changed(one, text=one.text + " "),
        lambda one: changed(one, mac=one.mac[:-1] + ("0" if one.mac[-1] != "0" else "1")),
        lambda one: changed(one, mac=""),
        lambda one: changed(one, mac="é" * 64),
        lambda one: changed(one, kid="0" * 16),
        lambda _: None,
        lambda one: keyring(THEIRS).sign(one.text),
        lambda one: keyring(scope=SCOPE + "2").sign(one.text),
        lambda one: changed(keyring(THEIRS).sign(one.text), kid=one.kid),
        lambda one: changed(keyring(scope="s3://other").sign(one.text), kid=one.kid),
    ),
)
def test_keyring_refuses_what_is_not_signed_like_this(spoil):
    with pytest.raises(NotSigned):
        keyring().verify(spoil(keyring().sign(TEXT)), what="job")


def test_first_key_signs_and_every_key_verifies():
    both = keyring(OURS, THEIRS)
    assert both.sign(TEXT) == keyring(OURS).sign(TEXT)
    both.verify(keyring(THEIRS).sign(TEXT), what="job")
    with pytest.raises(NotSigned, match="and this worker has"):
        keyring(THEIRS).verify(both.sign(TEXT), what="job")


def test_signature_runs_out():
    mine = keyring()
    mine.check_age("job", age=(1.0, 0), valid_until=100.0, now=99.0, what="job")
    with pytest.raises(NotSigned, match="run out"):
        mine.check_age("job", age=(1.0, 0), valid_until=100.0, now=101.0, what="job")


def test_older_function_is_refused_once_a_newer_one_was_seen():
    mine = keyring()
    mine.check_age("job", age=(1.0, 2), valid_until=None, now=0.0, what="job")
    mine.check_age("job", age=(1.0, 2), valid_until=None, now=0.0, what="job")
    mine.check_age("other", age=(1.0, 1), valid_until=None, now=0.0, what="job")
    with pytest.raises(NotSigned, match="older"):
        mine.check_age("job", age=(1.0, 1), valid_until=None, now=0.0, what="job")
    mine.check_age("job", age=(2.0, 0), valid_until=None, now=0.0, what="job")
    with pytest.raises(NotSigned, match="older"):
        mine.check_age("job", age=(1.0, 2), valid_until=None, now=0.0, what="job")


@pytest.mark.parametrize("secrets", ([], [b"short"], [OURS, b"x" * 31]))
def test_keyring_needs_keys_of_32_bytes(secrets):
    with pytest.raises(UsageError, match=r"32|one signing key"):
        Keyring(secrets, scope=SCOPE)


def test_no_key_is_ever_shown():
    mine = keyring(THEIRS)
    assert THEIRS.decode() not in repr(mine) + str(vars(mine))
    with pytest.raises(TypeError):
        pickle.dumps(mine)  # a lock: a key travels by inheritance alone
