"""What is encrypted, and what cannot be done with it."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from services.mesh import errors
from services.vision.pipelines.faces.gallery.crypto import Keys, Place, parse_keys
from tests.unit.vision.gallery.faces import KEY, OTHER_KEY

HERE = Place("face-1", "model", "person")


def test_what_is_encrypted_is_read_back_and_never_looks_the_same():
    """The value comes back; encrypting it twice gives two ciphertexts, neither holding it."""
    keys = Keys([KEY]).of("red")
    once, twice = keys.encrypt(HERE, b"annabella"), keys.encrypt(HERE, b"annabella")
    assert keys.decrypt(keys.key_id, HERE, once) == b"annabella"
    assert once != twice
    assert b"annabella" not in once + twice


@pytest.mark.parametrize(
    "place",
    [Place("face-2", "model", "person"), Place("face-1", "other", "person"), Place("face-1", "model", "vector")],
)
def test_a_value_cannot_be_moved(place):
    """A value of another face, model or column is GALLERY_DAMAGED."""
    keys = Keys([KEY]).of("red")
    with pytest.raises(errors.Internal) as caught:
        keys.decrypt(keys.key_id, place, keys.encrypt(HERE, b"ann"))
    assert caught.value.reason == "GALLERY_DAMAGED"


def test_tenants_have_keys_of_their_own():
    """One tenant's values and hashes mean nothing under another's keys."""
    red, blue = Keys([KEY]).of("red"), Keys([KEY]).of("blue")
    with pytest.raises(errors.Internal):
        blue.decrypt(blue.key_id, HERE, red.encrypt(HERE, b"ann"))
    assert red.find("person", "ann") != blue.find("person", "ann")
    assert red.find("person", "ann") != red.find("request", "ann")


@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_changed_value_is_not_read(at):
    """Nonce, ciphertext and tag are all checked."""
    keys = Keys([KEY]).of("red")
    sealed = bytearray(keys.encrypt(HERE, b"ann"))
    sealed[at] ^= 1
    with pytest.raises(errors.Internal):
        keys.decrypt(keys.key_id, HERE, bytes(sealed))


def test_old_keys_still_decrypt():
    """The first key encrypts, the others decrypt; a key that was not given is named by its id, not shown."""
    old = Keys([KEY]).of("red")
    both = Keys([OTHER_KEY, KEY]).of("red")
    sealed = old.encrypt(HERE, b"ann")
    assert both.decrypt(old.key_id, HERE, sealed) == b"ann"
    assert both.key_id == Keys([OTHER_KEY]).of("red").key_id
    assert old.find("person", "ann")[0] in both.find("person", "ann")
    with pytest.raises(errors.FailedPrecondition) as caught:
        old.decrypt(both.key_id, HERE, both.encrypt(HERE, b"ann"))
    assert caught.value.metadata == {"key_id": both.key_id}


def test_vectors_keep_every_bit():
    """A vector comes back as it was."""
    keys, vector = Keys([KEY]).of("red"), np.random.default_rng(1).normal(size=128).astype(np.float32)
    sealed = keys.encrypt_vector("face-1", "model", vector)
    np.testing.assert_array_equal(keys.decrypt_vector(keys.key_id, "face-1", "model", sealed), vector)


def test_keys_are_read_from_text():
    """Base64 of either alphabet, separated by commas, spaces or lines."""
    one, two = base64.b64encode(b"\xff" * 32).decode(), base64.urlsafe_b64encode(b"\xfe" * 32).decode()
    assert parse_keys(f" {one},\n{two}\n") == (b"\xff" * 32, b"\xfe" * 32)


@pytest.mark.parametrize("text", ["", "secret!", base64.b64encode(b"too short").decode(), "é"])
def test_bad_keys_are_not_shown(text):
    """The error says which key is wrong and what it should be, and never repeats it."""
    with pytest.raises(ValueError, match="key 1 of the gallery must be base64 of 32 random bytes") as caught:
        parse_keys(text)
    assert not text or text not in str(caught.value)


def test_keys_do_not_show_themselves():
    """Neither a master key nor what is derived from it stands in a repr."""
    keys = Keys([KEY])
    shown = repr(keys) + repr(keys.of("red")) + repr(vars(keys.of("red")))
    assert repr(KEY)[2:-1] not in shown
    assert "lookup" not in shown
