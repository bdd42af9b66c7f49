"""What the code around the translation engine does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


def test_sentences_keep_their_order(pb_utils, monkeypatch, tmp_path):
    """Each row is translated by itself; white space, for which the engine invents words, stays as it is."""
    from deploy.triton.models.bergamot import model  # noqa: PLC0415 - needs the stand-in

    weights = []

    class Direction:
        def __init__(self, folder):
            weights.append(folder)

        def translate(self, text):
            assert text.strip()
            return text[::-1]

    monkeypatch.setattr(model, "_engine", lambda path: SimpleNamespace(NativeDirection=Direction))
    loaded = model.TritonPythonModel()
    loaded.load(tmp_path, {})
    assert weights == [str(tmp_path / "weights")]
    assert loaded.answer(["abc", "", " \n", "dé"]) == ["cba", "", " \n", "éd"]


def test_a_missing_engine_is_named(pb_utils, tmp_path):
    """Without the engine's file the model does not load, and the error names the file."""
    from deploy.triton.models.bergamot import model  # noqa: PLC0415 - needs the stand-in

    with pytest.raises(ImportError, match=r"_native\.abi3\.so"):
        model.TritonPythonModel().load(tmp_path, {})
