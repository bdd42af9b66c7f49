"""The canary's answer can be told from an echo, and from zeros."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.deploy.models.conftest import StubRequest


@pytest.mark.parametrize(("value", "answer"), [(0, 1), (20, 41), (-3, -5)])
def test_the_canary_computes(pb_utils, monkeypatch, value, answer):
    """2 * value + 1, as int32, with the timing only when it is asked for."""
    from deploy.triton.models.canary import model  # noqa: PLC0415 - needs the stand-in

    monkeypatch.setattr(model, "pb_utils", pb_utils)
    canary = model.TritonPythonModel()
    canary.initialize({})
    (response,) = canary.execute([StubRequest(["value"], value=np.array([value], np.int32))])
    assert response.outputs["value"].tolist() == [answer]
    assert response.outputs["value"].dtype == np.int32
    assert "execution_ns" not in response.outputs
